rule pretrain:
    input:
        data=experiment_dataset,
    output:
        networks=out("pretrained", "{experiment}.safetensors"),
    log:
        logs("pretrain", "{experiment}.log"),
    benchmark:
        benchmarks("pretrain", "{experiment}.tsv")
    priority: 1  # before measuring and drawing, whose jobs take one core each
    conda:
        "../../envs/environment.yml"
    threads: lambda w: processes("pretrain", experiment_pretrainings(w))
    resources:
        mem_mb=training_memory,
        runtime=training_minutes("pretrain", experiment_pretrainings),
        gpu=lambda w: gpus("pretrain"),
    params:
        specs=lambda w: specs_digest(plan.experiments[w.experiment].pretrainings),
    message:
        "pretraining the networks of {wildcards.experiment} on corrupted labels"
    script:
        "../scripts/pretrain.py"


# A shard fills the cache with its part of an experiment's networks; `train` then finds them there.
rule train_shard:
    input:
        data=experiment_dataset,
        pretrained=pretrained_networks,
    output:
        done=temp(out("trained", "shards", "{experiment}-{shard}.txt")),
    log:
        logs("train", "{experiment}-{shard}.log"),
    benchmark:
        benchmarks("train", "{experiment}-{shard}.tsv")
    priority: 1  # before measuring and drawing, whose jobs take one core each
    conda:
        "../../envs/environment.yml"
    threads: lambda w: processes("train_shard", shard_networks(w))
    resources:
        mem_mb=training_memory,
        runtime=training_minutes("train_shard", shard_networks),
        gpu=lambda w: gpus("train_shard"),
    params:
        specs=lambda w: specs_digest(plan.experiments[w.experiment].networks),
    message:
        "training shard {wildcards.shard} of {wildcards.experiment}"
    script:
        "../scripts/train_shard.py"


rule train:
    input:
        data=experiment_dataset,
        pretrained=pretrained_networks,
        shards=finished_shards,
    output:
        networks=out("trained", "{experiment}.safetensors"),
        history=out("history", "{experiment}.csv"),
    log:
        logs("train", "{experiment}.log"),
    benchmark:
        benchmarks("train", "{experiment}.tsv")
    priority: 1  # before measuring and drawing, whose jobs take one core each
    conda:
        "../../envs/environment.yml"
    threads: lambda w: processes("train", experiment_networks(w))
    resources:
        mem_mb=training_memory,
        runtime=training_minutes("train", experiment_networks),
        gpu=lambda w: gpus("train"),
    params:
        specs=lambda w: specs_digest(plan.experiments[w.experiment].networks),
        select=lambda w: digest(plan.experiments[w.experiment].select),
    message:
        "training the networks of {wildcards.experiment}"
    script:
        "../scripts/train.py"
