"""Draw one figure."""

import pandas as pd

from puzzles.csvs import read_csv
from puzzles.plots import draw
from puzzles.runner import job

with job(snakemake) as config:
    name = snakemake.wildcards.figure
    measurements = pd.concat([read_csv(path) for path in snakemake.input.measurements])
    fits = pd.concat([read_csv(path) for path in snakemake.input.fits])
    draw(config.figures[name], config.experiments, measurements, fits, snakemake.output.png, snakemake.output.pdf)
