"""Draw one figure."""

from puzzles.base.csvs import read_all, read_tables
from puzzles.config.job import job
from puzzles.output.plots import FigureTables, draw

with job(snakemake) as config:
    tables = read_tables(FigureTables, lambda name: read_all(snakemake.input[name]))
    figure = config.figures[snakemake.wildcards.figure]
    draw(figure, config.experiments, tables, *snakemake.output)
