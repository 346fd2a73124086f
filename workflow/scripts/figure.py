"""Draw one figure."""

from puzzles.csvs import read_all
from puzzles.plots import Drawn, draw
from puzzles.runner import job

with job(snakemake) as config:
    tables = Drawn(*(read_all(snakemake.input[name]) for name in ("measurements", "fits", "histograms")))
    figure = config.figures[snakemake.wildcards.figure]
    draw(figure, config.experiments, tables, snakemake.output.png, snakemake.output.pdf)
