rule download:
    input:
        own=own_npz,
    output:
        npz=paths.dataset("{dataset}").as_posix(),
        provenance=paths.dataset("{dataset}").with_suffix(".json").as_posix(),
    log:
        "results/data/logs/{dataset}.log",
    benchmark:
        "results/data/benchmarks/{dataset}.tsv"
    conda:
        "../../envs/environment.yml"
    params:
        source=lambda w: {k: v for k, v in plan.raw["datasets"][w.dataset].items() if k != "note"},
        folder=own_folder,
    message:
        "getting the data set {wildcards.dataset}"
    script:
        "../scripts/download.py"
