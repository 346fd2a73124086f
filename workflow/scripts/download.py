"""Get one data set; write results/data/<dataset>.npz and its provenance."""

from pathlib import Path

from puzzles.config.job import job
from puzzles.data.download import Fetch, fetch_to

with job(snakemake) as config:
    how = Fetch(Path(config.raw.get("data_dir", "data")), **config.raw.get("download", {}))
    name = snakemake.wildcards.dataset
    specs = [n.spec for e in config.experiments.values() if e.dataset == name for n in e.networks]
    fetch_to(Path(snakemake.output.npz), config.raw["datasets"][name], how, specs)
