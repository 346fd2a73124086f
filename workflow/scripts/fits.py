"""Fit the lines of one experiment, and correlate the ranks of its test errors with those of predictors."""

from puzzles.analysis.fits import fit_experiment, rank_experiment
from puzzles.base.csvs import read_csv, write_csv
from puzzles.config.job import job

with job(snakemake):
    measurements, families = read_csv(snakemake.input.measurements), read_csv(snakemake.input.families)
    groups = tuple(snakemake.params.groups)
    write_csv(fit_experiment(measurements, families, groups), snakemake.output.fits)
    write_csv(rank_experiment(measurements, groups), snakemake.output.ranks)
