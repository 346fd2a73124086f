"""Draw one figure."""

from puzzles.base.csvs import read_all
from puzzles.config.job import job
from puzzles.output.plots import FigureTables, draw

with job(snakemake) as config:
    tables = FigureTables(*(read_all(snakemake.input[name]) for name in FigureTables.names()))
    figure = config.figures[snakemake.wildcards.figure]
    draw(figure, config.experiments, tables, snakemake.output.png, snakemake.output.pdf)
