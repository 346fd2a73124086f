"""Write the report, one self-contained HTML page, and the records of the run: its configuration, specs, provenance."""

import json
from pathlib import Path

import yaml

from puzzles.base.csvs import read_csv, read_tables
from puzzles.base.files import atomic
from puzzles.config.job import job
from puzzles.output.provenance import collect
from puzzles.output.report import Results, render
from puzzles.output.reuse import resolved_specs
from puzzles.output.upkeep import write_checksums

with job(snakemake) as config:
    pictures = {Path(path).stem: Path(path) for path in snakemake.input.figures if path.endswith(".png")}
    datasets = [json.loads(Path(path).read_text()) for path in snakemake.input.datasets]
    provenance = collect(config, datasets, Path(snakemake.output.html).parent, snakemake.params.reused)
    results = read_tables(Results, lambda name: read_csv(snakemake.input[name]))
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
    write_checksums(Path(snakemake.output.config).parent)
