rule measure:
    input:
        data=experiment_dataset,
        networks=rules.train.output.networks,
        history=rules.train.output.history,
    output:
        measurements=out("measurements", "{experiment}.csv"),
        nulls=out("nulls", "{experiment}.csv"),
    log:
        logs("measure", "{experiment}.log"),
    benchmark:
        benchmarks("measure", "{experiment}.tsv")
    conda:
        "../../envs/environment.yml"
    resources:
        mem_mb=4000,
    params:
        experiment=lambda w: digest(plan.experiments[w.experiment]),
        code=code_digest(
            "tables", "measure", "norms", "networks", "data", "labels", "specs", "streams"
        ),
    message:
        "measuring the networks of {wildcards.experiment}"
    script:
        "../scripts/measure.py"


rule fits:
    input:
        measurements=rules.measure.output.measurements,
        nulls=rules.measure.output.nulls,
    output:
        fits=out("tables", "fits", "{experiment}.csv"),
    log:
        logs("fits", "{experiment}.log"),
    benchmark:
        benchmarks("fits", "{experiment}.tsv")
    conda:
        "../../envs/environment.yml"
    params:
        groups=lambda w: plan.experiments[w.experiment].fit_groups,
        code=code_digest("fits"),
    message:
        "fitting lines to {wildcards.experiment}"
    script:
        "../scripts/fits.py"


rule aggregate:
    input:
        measurements=expand(rules.measure.output.measurements, experiment=plan.experiments),
        fits=expand(rules.fits.output.fits, experiment=plan.experiments),
    output:
        networks=out("tables", "networks.csv"),
        fits=out("tables", "fits.csv"),
    log:
        logs("aggregate.log"),
    benchmark:
        benchmarks("aggregate.tsv")
    conda:
        "../../envs/environment.yml"
    message:
        "collecting the tables"
    script:
        "../scripts/aggregate.py"
