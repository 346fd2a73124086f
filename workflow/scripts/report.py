"""Write the report, one self-contained HTML page, and the records of the run: its configuration, specs, provenance."""

import json
from pathlib import Path

import yaml

from puzzles.csvs import read_csv
from puzzles.files import atomic
from puzzles.provenance import collect
from puzzles.report import Results, render
from puzzles.reuse import resolved_specs
from puzzles.runner import job

with job(snakemake) as config:
    pictures = {Path(path).stem: Path(path) for path in snakemake.input.figures if path.endswith(".png")}
    datasets = [json.loads(Path(path).read_text()) for path in snakemake.input.datasets]
    provenance = collect(config, datasets, snakemake.params.benchmarks, snakemake.params.reused)
    results = Results(*(read_csv(snakemake.input[name]) for name in ("networks", "fits", "ranks", "scorecard")))
    page = render(config, results, pictures, provenance)
    texts = {
        "provenance": json.dumps(provenance, indent=1),
        "specs": json.dumps(resolved_specs(config), indent=1),
        "config": yaml.safe_dump(config.raw, sort_keys=False, width=125),
        "html": page,
    }
    for name, text in texts.items():
        with atomic(snakemake.output[name]) as temporary:
            temporary.write_text(text)
