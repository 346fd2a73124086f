rule measure:
    input:
        data=experiment_dataset,
        networks=rules.train.output.networks,
        history=rules.train.output.history,
    output:
        measurements=out("measurements", "{experiment}.csv"),
        families=out("families", "{experiment}.csv"),
        histograms=out("histograms", "{experiment}.csv"),
    log:
        logs("measure", "{experiment}.log"),
    benchmark:
        benchmarks("measure", "{experiment}.tsv")
    conda:
        "../../envs/environment.yml"
    resources:
        mem_mb=4000,
        gpu=gpus(),
    params:
        experiment=lambda w: measurement_digest(plan.experiments[w.experiment]),
        code=measuring_code(),
    message:
        "measuring the networks of {wildcards.experiment}"
    script:
        "../scripts/measure.py"


rule fits:
    input:
        measurements=rules.measure.output.measurements,
        families=rules.measure.output.families,
    output:
        fits=out("tables", "fits", "{experiment}.csv"),
        ranks=out("tables", "ranks", "{experiment}.csv"),
    log:
        logs("fits", "{experiment}.log"),
    benchmark:
        benchmarks("fits", "{experiment}.tsv")
    conda:
        "../../envs/environment.yml"
    params:
        groups=lambda w: plan.experiments[w.experiment].fit_groups,
        code=code_digest("analysis.fits"),
    message:
        "fitting lines to {wildcards.experiment}"
    script:
        "../scripts/fits.py"


rule aggregate:
    input:
        networks=expand(rules.measure.output.measurements, experiment=plan.experiments),
        fits=expand(rules.fits.output.fits, experiment=plan.experiments),
        ranks=expand(rules.fits.output.ranks, experiment=plan.experiments),
    output:
        networks=out("tables", "networks.csv"),
        fits=out("tables", "fits.csv"),
        ranks=out("tables", "ranks.csv"),
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


rule judge:
    input:
        networks=rules.aggregate.output.networks,
        fits=rules.aggregate.output.fits,
        history=expand(rules.train.output.history, experiment=plan.experiments),
    output:
        scorecard=out("tables", "scorecard.csv"),
    log:
        logs("scorecard.log"),
    benchmark:
        benchmarks("scorecard.tsv")
    conda:
        "../../envs/environment.yml"
    params:
        experiments=digest(plan.raw["architectures"], plan.experiments),
        claims=digest((here / "claims.yaml").read_text()),
        code=code_digest("analysis.claims"),
    message:
        "judging the paper's claims"
    script:
        "../scripts/judge.py"
