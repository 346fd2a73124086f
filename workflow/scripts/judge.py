"""Judge every claim of the paper by this run's tables."""

from pathlib import Path

from puzzles.analysis.claims import scorecard
from puzzles.analysis.evidence import Evidence
from puzzles.analysis.experiment_analyses import read_correct
from puzzles.base.csvs import read_all, read_csv, write_csv
from puzzles.config.job import job

with job(snakemake) as config:
    tables = (read_csv(snakemake.input.networks), read_csv(snakemake.input.fits), read_all(snakemake.input.history))
    correct = {Path(file).stem: read_correct(file) for file in snakemake.input.correct}
    write_csv(scorecard(Evidence(config, *tables, correct)), snakemake.output.scorecard)
