"""Analyse the measurements of one experiment: lines, rank correlations, pivots, the R sweep of Eq. 6, monitoring."""

from puzzles.analysis.experiment_analyses import analyse_experiment, read_correct
from puzzles.base.csvs import read_csv, write_csv
from puzzles.config.job import job

with job(snakemake):
    tables = (read_csv(snakemake.input[name]) for name in ("measurements", "families", "rescaled", "history"))
    correct = read_correct(snakemake.input.correct)
    for name, table in analyse_experiment(*tables, tuple(snakemake.params.groups), correct).items():
        write_csv(table, snakemake.output[name])
