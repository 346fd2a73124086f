"""Measure the trained networks of one experiment."""

import json
from pathlib import Path

from puzzles.analysis.tables import measure_experiment, write_tables
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
        json.loads(Path(snakemake.input.provenance).read_text())["data"],
    )
    write_tables(tables, snakemake.output)
