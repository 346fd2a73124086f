rule pretrain:
    input:
        data=experiment_dataset,
    output:
        networks=out("pretrained", "{experiment}.safetensors"),
    log:
        logs("pretrain", "{experiment}.log"),
    benchmark:
        benchmarks("pretrain", "{experiment}.tsv")
    params:
        specs=lambda w: digest(config_.experiments[w.experiment].pretrainings),
    resources:
        mem_mb=4000,
        runtime=720,
    message:
        "pretraining the networks of {wildcards.experiment} on corrupted labels"
    script:
        "../scripts/pretrain.py"


def pretrained(wildcards):
    """The pretrained networks of an experiment, if it has any."""
    has_any = config_.experiments[wildcards.experiment].pretrainings
    return rules.pretrain.output.networks if has_any else []


# A shard fills the cache with its part of an experiment's networks; `train` then finds them there.
rule train_shard:
    input:
        data=experiment_dataset,
        pretrained=pretrained,
    output:
        done=temp(out("trained", "shards", "{experiment}-{shard}.txt")),
    log:
        logs("train", "{experiment}-{shard}.log"),
    benchmark:
        benchmarks("train", "{experiment}-{shard}.tsv")
    params:
        specs=lambda w: digest(config_.experiments[w.experiment].networks),
    resources:
        mem_mb=4000,
        runtime=720,
    message:
        "training shard {wildcards.shard} of {wildcards.experiment}"
    script:
        "../scripts/train_shard.py"


def shards(wildcards):
    """The shards of an experiment; one that is not divided needs none."""
    count = config_.experiments[wildcards.experiment].shards
    files = expand(rules.train_shard.output.done, shard=range(count), allow_missing=True)
    return files if count > 1 else []


rule train:
    input:
        data=experiment_dataset,
        pretrained=pretrained,
        shards=shards,
    output:
        networks=out("trained", "{experiment}.safetensors"),
        history=out("history", "{experiment}.csv"),
    log:
        logs("train", "{experiment}.log"),
    benchmark:
        benchmarks("train", "{experiment}.tsv")
    params:
        specs=lambda w: digest(
            config_.experiments[w.experiment].networks,
            config_.experiments[w.experiment].select,
        ),
    resources:
        mem_mb=4000,
        runtime=720,
    message:
        "training the networks of {wildcards.experiment}"
    script:
        "../scripts/train.py"
