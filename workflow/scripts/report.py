"""Write the report: one self-contained HTML page."""

import json
from pathlib import Path

from puzzles.csvs import read_csv
from puzzles.files import atomic
from puzzles.report import render
from puzzles.runner import job

with job(snakemake) as config:
    pictures = {Path(path).stem: Path(path) for path in snakemake.input.figures if path.endswith(".png")}
    provenance = [json.loads(Path(path).read_text()) for path in snakemake.input.provenance]
    page = render(config, read_csv(snakemake.input.networks), read_csv(snakemake.input.fits), pictures, provenance)
    with atomic(snakemake.output.html) as temporary:
        temporary.write_text(page)
