"""Judge every claim of the paper by this run's tables."""

from puzzles.claims import scorecard
from puzzles.csvs import read_all, read_csv, write_csv
from puzzles.evidence import Evidence
from puzzles.runner import job

with job(snakemake) as config:
    tables = (read_csv(snakemake.input.networks), read_csv(snakemake.input.fits), read_all(snakemake.input.history))
    write_csv(scorecard(Evidence(config, *tables)), snakemake.output.scorecard)
