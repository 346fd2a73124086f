# Copies the tables of an experiment from a published run that has trained and measured the same networks.
rule reuse:
    input:
        tables=lambda w: reused_files(reused[w.experiment], w.experiment),
        dataset=experiment_provenance,
    output:
        history=out("history", "{experiment}.csv"),
        measurements=out("measurements", "{experiment}.csv"),
        families=out("families", "{experiment}.csv"),
        rescaled=out("rescaled", "{experiment}.csv"),
        histograms=out("histograms", "{experiment}.csv"),
        correct=out("correct", "{experiment}.npz"),
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
