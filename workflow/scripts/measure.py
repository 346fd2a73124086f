"""Measure the trained networks of one experiment."""

from puzzles.csvs import write_csv
from puzzles.data import load
from puzzles.devices import choose_device
from puzzles.runner import job
from puzzles.tables import measure_experiment

with job(snakemake) as config:
    tables = measure_experiment(
        config.experiments[snakemake.wildcards.experiment],
        load(snakemake.input.data),
        snakemake.input.networks,
        snakemake.input.history,
        choose_device(config.runtime.get("device", "auto")),
    )
    for name, path in snakemake.output.items():
        write_csv(getattr(tables, name), path)
