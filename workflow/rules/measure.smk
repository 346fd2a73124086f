rule measure:
    input:
        data=experiment_dataset,
        networks=rules.train.output.networks,
        history=rules.train.output.history,
    output:
        measurements=out("measurements", "{experiment}.csv"),
        rescaled=out("rescaled", "{experiment}.csv"),
    log:
        logs("measure", "{experiment}.log"),
    benchmark:
        benchmarks("measure", "{experiment}.tsv")
    params:
        experiment=lambda w: digest(config_.experiments[w.experiment]),
        code=code_digest("tables", "measure", "norms", "networks", "data", "labels"),
    resources:
        mem_mb=4000,
    message:
        "measuring the networks of {wildcards.experiment}"
    script:
        "../scripts/measure.py"


rule fits:
    input:
        measurements=rules.measure.output.measurements,
        rescaled=rules.measure.output.rescaled,
    output:
        fits=out("tables", "fits", "{experiment}.csv"),
    log:
        logs("fits", "{experiment}.log"),
    benchmark:
        benchmarks("fits", "{experiment}.tsv")
    params:
        groups=lambda w: config_.experiments[w.experiment].fit_groups,
        code=code_digest("fits"),
    message:
        "fitting lines to {wildcards.experiment}"
    script:
        "../scripts/fits.py"


rule aggregate:
    input:
        measurements=expand(
            rules.measure.output.measurements, experiment=config_.experiments
        ),
        fits=expand(rules.fits.output.fits, experiment=config_.experiments),
    output:
        networks=out("tables", "networks.csv"),
        fits=out("tables", "fits.csv"),
    log:
        logs("aggregate.log"),
    benchmark:
        benchmarks("aggregate.tsv")
    message:
        "collecting the tables"
    script:
        "../scripts/aggregate.py"
