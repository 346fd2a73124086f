# Copies the tables of an experiment from a published run that has trained and measured the same networks.
rule reuse:
    input:
        tables=lambda w: reused_tables(reused[w.experiment], w.experiment),
        dataset=lambda w: Path(experiment_dataset(w)).with_suffix(".json").as_posix(),
    output:
        history=out("history", "{experiment}.csv"),
        measurements=out("measurements", "{experiment}.csv"),
        families=out("families", "{experiment}.csv"),
        histograms=out("histograms", "{experiment}.csv"),
    log:
        logs("reuse", "{experiment}.log"),
    wildcard_constraints:
        experiment="|".join(reused) or "(?!)",
    conda:
        "../../envs/environment.yml"
    params:
        run=lambda w: reused[w.experiment],
    message:
        "taking the tables of {wildcards.experiment} from a published run"
    script:
        "../scripts/reuse.py"


ruleorder: reuse > measure
ruleorder: reuse > train
