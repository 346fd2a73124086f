"""Write the report, one self-contained HTML page, and where its results come from."""

import json
from pathlib import Path

from puzzles.csvs import read_csv
from puzzles.files import atomic
from puzzles.provenance import collect
from puzzles.report import Results, render
from puzzles.runner import job

with job(snakemake) as config:
    pictures = {Path(path).stem: Path(path) for path in snakemake.input.figures if path.endswith(".png")}
    datasets = [json.loads(Path(path).read_text()) for path in snakemake.input.datasets]
    provenance = collect(config, datasets, snakemake.params.benchmarks)
    results = Results(*(read_csv(snakemake.input[name]) for name in ("networks", "fits", "ranks", "scorecard")))
    page = render(config, results, pictures, provenance)
    for path, text in ((snakemake.output.provenance, json.dumps(provenance, indent=1)), (snakemake.output.html, page)):
        with atomic(path) as temporary:
            temporary.write_text(text)
