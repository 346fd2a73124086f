"""Measure the trained networks of one experiment."""

import json
from pathlib import Path

import numpy as np

from puzzles.analysis.tables import measure_experiment
from puzzles.base.csvs import write_csv
from puzzles.base.files import atomic
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
    for name in ("measurements", "families", "rescaled", "histograms"):
        write_csv(getattr(tables, name), snakemake.output[name])
    with atomic(snakemake.output.correct) as temporary, temporary.open("wb") as file:
        np.savez(file, **tables.correct)
