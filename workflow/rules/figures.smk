def figure_tables(rule_output):
    """An input function: one table for each experiment that a figure is drawn from."""
    return lambda w: expand(
        rule_output, experiment=config_.figure_experiments(w.figure)
    )


rule figure:
    input:
        measurements=figure_tables(rules.measure.output.measurements),
        fits=figure_tables(rules.fits.output.fits),
    output:
        png=out("figures", "{figure}.png"),
        pdf=out("figures", "{figure}.pdf"),
    log:
        logs("figures", "{figure}.log"),
    benchmark:
        benchmarks("figures", "{figure}.tsv")
    params:
        figure=lambda w: digest(config_.figures[w.figure]),
        code=code_digest("plots", "style"),
    message:
        "drawing {wildcards.figure}"
    script:
        "../scripts/figure.py"


# `snakemake fig10`: one target for each figure of the configuration
for figure in config_.figures:

    rule:
        name:
            figure
        localrule: True
        input:
            expand(rules.figure.output, figure=figure),
