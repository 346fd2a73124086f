"""Measure the trained networks of one experiment."""

from puzzles.csvs import write_csv
from puzzles.data import load
from puzzles.runner import job
from puzzles.tables import measure_experiment

with job(snakemake) as config:
    measurements, nulls = measure_experiment(
        config.experiments[snakemake.wildcards.experiment],
        load(snakemake.input.data),
        snakemake.input.networks,
        snakemake.input.history,
    )
    write_csv(measurements, snakemake.output.measurements)
    write_csv(nulls, snakemake.output.nulls)
