"""Fit the lines of one experiment."""

from puzzles.csvs import read_csv, write_csv
from puzzles.fits import fit_experiment
from puzzles.runner import job

with job(snakemake):
    measurements, nulls = read_csv(snakemake.input.measurements), read_csv(snakemake.input.nulls)
    write_csv(fit_experiment(measurements, nulls, tuple(snakemake.params.groups)), snakemake.output.fits)
