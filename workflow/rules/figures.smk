rule figure:
    input:
        measurements=figure_tables("measurements"),
        fits=figure_tables("tables", "fits"),
        histograms=figure_tables("histograms"),
        families=figure_tables("families"),
        ranks=figure_tables("tables", "ranks"),
        rescaling=figure_tables("tables", "rescaling"),
        monitoring=figure_tables("tables", "monitoring"),
    output:
        png=out("figures", "{figure}.png"),
        pdf=out("figures", "{figure}.pdf"),
        svg=out("figures", "{figure}.svg"),
    log:
        logs("figures", "{figure}.log"),
    benchmark:
        benchmarks("figures", "{figure}.tsv")
    conda:
        "../../envs/environment.yml"
    params:
        figure=lambda w: digest(plan.figures[w.figure]),
        code=code_digest("output.plots"),
    message:
        "drawing {wildcards.figure}"
    script:
        "../scripts/figure.py"


# `snakemake fig10`: one target for each figure of the configuration
for figure in plan.figures:

    rule:
        name:
            figure
        input:
            everything_behind(*plan.figure_experiments(figure)),
            pictures(figure),
        localrule: True
        message:
            f"{figure}: {out('figures', figure)}.png, .pdf and .svg"
