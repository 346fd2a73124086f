rule report:
    input:
        figures=expand(rules.figure.output, figure=plan.figures),
        networks=rules.aggregate.output.networks,
        fits=rules.aggregate.output.fits,
        provenance=sorted(
            paths.dataset(e.dataset).with_suffix(".json").as_posix()
            for e in {e.dataset: e for e in plan.experiments.values()}.values()
        ),
    output:
        html=out("report.html"),
    log:
        logs("report.log"),
    benchmark:
        benchmarks("report.tsv")
    conda:
        "../../envs/environment.yml"
    params:
        figures=digest(plan.figures, list(plan.experiments)),
        code=code_digest("report", "style"),
        template=digest((here / "report" / "report.html.j2").read_text()),
    message:
        "writing the report"
    script:
        "../scripts/report.py"
