rule measure:
    input:
        data=experiment_dataset,
        provenance=experiment_provenance,
        networks=rules.train.output.networks,
        history=rules.train.output.history,
    output:
        measurements=out("measurements", "{experiment}.csv"),
        families=out("families", "{experiment}.csv"),
        rescaled=out("rescaled", "{experiment}.csv"),
        histograms=out("histograms", "{experiment}.csv"),
        correct=out("correct", "{experiment}.npz"),
    log:
        logs("measure", "{experiment}.log"),
    benchmark:
        benchmarks("measure", "{experiment}.tsv")
    conda:
        "../../envs/environment.yml"
    resources:
        mem_mb=lambda w, attempt: 4000 * attempt,
        runtime=lambda w, attempt: 60 * attempt,
        gpu=lambda w: gpus("measure"),
    params:
        experiment=lambda w: experiment_digest(w.experiment),
        code=measuring_code(),
    message:
        "measuring the networks of {wildcards.experiment}"
    script:
        "../scripts/measure.py"


rule analyse:
    input:
        measurements=rules.measure.output.measurements,
        families=rules.measure.output.families,
        rescaled=rules.measure.output.rescaled,
        correct=rules.measure.output.correct,
        history=rules.train.output.history,
    output:
        **{name: out("tables", name, "{experiment}.csv") for name in paths.ANALYSES},
    log:
        logs("analyse", "{experiment}.log"),
    benchmark:
        benchmarks("analyse", "{experiment}.tsv")
    conda:
        "../../envs/environment.yml"
    params:
        groups=lambda w: plan.experiments[w.experiment].fit_groups,
        columns=digest(ordered()),
        code=code_digest("analysis.experiment_analyses"),
    message:
        "fitting lines to {wildcards.experiment}, ranking its networks"
    script:
        "../scripts/analyse.py"


rule aggregate:
    input:
        **{
            name: expand(out("tables", name, "{experiment}.csv"), experiment=plan.experiments)
            for name in paths.ANALYSES
        },
        networks=[out("measurements", f"{e}.csv") for e in plan.experiments],
    output:
        **{name: out("tables", f"{name}.csv") for name in paths.ANALYSES},
        networks=out("tables", "networks.csv"),
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
        history=[out("history", f"{e}.csv") for e in plan.experiments],
        correct=[out("correct", f"{e}.npz") for e in plan.experiments],
    output:
        scorecard=out("tables", "scorecard.csv"),
    log:
        logs("scorecard.log"),
    benchmark:
        benchmarks("scorecard.tsv")
    conda:
        "../../envs/environment.yml"
    params:
        experiments=lambda w: digest(
            plan.raw["architectures"], [experiment_digest(e) for e in plan.experiments]
        ),
        claims=digest((here / "claims.yaml").read_text()),
        code=code_digest("analysis.claims"),
    message:
        "judging the paper's claims"
    script:
        "../scripts/judge.py"
