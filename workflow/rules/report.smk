rule write_report:
    input:
        figures=pictures(*plan.figures),
        networks=rules.aggregate.output.networks,
        fits=rules.aggregate.output.fits,
        ranks=rules.aggregate.output.ranks,
        pivots=rules.aggregate.output.pivots,
        rescaling=rules.aggregate.output.rescaling,
        monitoring=rules.aggregate.output.monitoring,
        scorecard=rules.judge.output.scorecard,
        datasets=sorted(
            paths.dataset(e.dataset).with_suffix(".json").as_posix()
            for e in {e.dataset: e for e in plan.experiments.values()}.values()
        ),
    output:
        html=out("report.html"),
        provenance=out("provenance.json"),
        specs=out("specs.json"),
        config=out("config.yaml"),
        checksums=out("checksums.txt"),
    log:
        logs("report.log"),
    benchmark:
        benchmarks("report.tsv")
    conda:
        "../../envs/environment.yml"
    params:
        config=digest(plan.raw),
        code=digest(code_digest("output.report"), code_digest("output.provenance")),
        texts=digest(
            *(f.read_text() for f in sorted((here / "report").glob("report.*"))),
            (here / "report" / "errata.yaml").read_text(),
        ),
        paper=digest((here.parent / "config.yaml").read_text()),
        reused=origins(reused),
    message:
        "writing the report"
    script:
        "../scripts/write_report.py"
