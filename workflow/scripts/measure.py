"""Measure the trained networks of one experiment."""

from puzzles.analysis.tables import measure_experiment
from puzzles.base.csvs import write_csv
from puzzles.config.job import job
from puzzles.data.dataset import read_dataset
from puzzles.training.devices import choose_device

with job(snakemake) as config:
    tables = measure_experiment(
        config.experiments[snakemake.wildcards.experiment],
        read_dataset(snakemake.input.data),
        snakemake.input.networks,
        snakemake.input.history,
        choose_device(config.runtime.get("device", "auto")),
    )
    for name, path in snakemake.output.items():
        write_csv(getattr(tables, name), path)
