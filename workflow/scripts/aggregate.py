"""One table each of all networks, all lines and all rank correlations."""

from puzzles.csvs import read_all, write_csv
from puzzles.runner import job

with job(snakemake):
    for name in ("networks", "fits", "ranks"):
        write_csv(read_all(snakemake.input[name]), snakemake.output[name])
