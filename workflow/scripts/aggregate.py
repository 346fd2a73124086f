"""One table of all networks and one of all fits."""

import pandas as pd

from puzzles.csvs import read_csv, write_csv
from puzzles.runner import job

with job(snakemake):
    for name in ("networks", "fits"):
        parts = snakemake.input["measurements" if name == "networks" else "fits"]
        write_csv(pd.concat([read_csv(part) for part in parts], ignore_index=True), snakemake.output[name])
