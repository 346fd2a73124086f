"""One table of each kind for all experiments: networks, lines, rank correlations, pivots, rescaling, monitoring."""

from puzzles.base.csvs import read_all, write_csv
from puzzles.config.job import job

with job(snakemake):
    for name, path in snakemake.output.items():
        write_csv(read_all(snakemake.input[name]), path)
