"""Get one data set; write results/data/<dataset>.npz and its provenance."""

import json
from pathlib import Path

from puzzles.base.files import atomic
from puzzles.config.job import job
from puzzles.data.dataset import write_npz
from puzzles.data.download import Fetch, fetch

with job(snakemake) as config:
    settings = config.raw["datasets"][snakemake.wildcards.dataset]
    how = Fetch(Path(config.raw.get("data_dir", "data")), **config.raw.get("download", {}))
    dataset, provenance = fetch(snakemake.wildcards.dataset, settings, how)
    with atomic(snakemake.output.provenance) as temporary:
        temporary.write_text(json.dumps(provenance, indent=1, sort_keys=True) + "\n")
    write_npz(dataset, snakemake.output.npz)
