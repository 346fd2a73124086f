# Experiments that a published run has finished with the very same networks: their tables are taken from there.
rule reuse:
    input:
        lambda w: list(reused[w.experiment].values()),
    output:
        history=out("history", "{experiment}.csv"),
        measurements=out("measurements", "{experiment}.csv"),
        families=out("families", "{experiment}.csv"),
        histograms=out("histograms", "{experiment}.csv"),
    log:
        logs("reuse", "{experiment}.log"),
    wildcard_constraints:
        experiment="|".join(reused) or "(?!)",
    localrule: True
    conda:
        "../../envs/environment.yml"
    message:
        "taking the tables of {wildcards.experiment} from a published run"
    script:
        "../scripts/reuse.py"


ruleorder: reuse > measure
ruleorder: reuse > train
