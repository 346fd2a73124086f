"""Join the tables of all experiments: networks, lines, rank correlations."""

from puzzles.base.csvs import read_all, write_csv
from puzzles.config.job import job

with job(snakemake):
    for name in ("networks", "fits", "ranks"):
        write_csv(read_all(snakemake.input[name]), snakemake.output[name])
