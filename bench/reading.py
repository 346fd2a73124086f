"""How the time to read the rules grows with the number of networks, and what so many networks leave on disk.

PYTHONPATH=.:workflow python bench/reading.py [--experiments 10 100 400] [--out results/bench]
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import yaml

from bench.compare import ROOT
from bench.machine import describe
from puzzles.base import paths
from puzzles.base.csvs import write_csv
from puzzles.config.configuration import load_config

NETWORKS = 100  # of each experiment
CACHED = 60_000  # bytes of a network of 9,370 parameters with its history, as those of the run paper have


def overlay(experiments: int) -> dict:
    """Experiments of a hundred small networks each on the digits, none like another."""
    network = {"dataset": "digits", "architecture": "conv5_16"}
    described = {
        f"e{k}": {
            "description": "A sweep.",
            "network": network | {"lr": 0.01 + k * 1e-5},
            "sweep": {"axis": "init_gain", "values": [1 + j / 100 for j in range(NETWORKS)]},
        }
        for k in range(experiments)
    }
    return {"run": {"name": "reading", "experiments": list(described)}, "experiments": described}


def seconds_to_read(experiments: int) -> float:
    """Seconds of a processor that a dry run of all tables takes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "reading.yaml"
        file.write_text(yaml.safe_dump(overlay(experiments)))
        command = [sys.executable, "-m", "snakemake", "tables", "-n", "--quiet", "all", "--configfile", str(file)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=os.environ)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def left_on_disk(run: str) -> tuple[float, float]:
    """Files of an experiment, and bytes of a network, in the tables of a published run."""
    folder = ROOT / paths.REFERENCE / run
    config = load_config(yaml.safe_load((folder / "config.yaml").read_text()))
    networks = sum(len(e.networks) for e in config.experiments.values())
    found = [folder / name / f"{e}{end}" for name, end in paths.EXPERIMENT_FILES.items() for e in config.experiments]
    return len(paths.EXPERIMENT_FILES) + len(paths.ANALYSES), sum(f.stat().st_size for f in found if f.is_file()) / networks


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, nargs="+", default=[10, 100, 400])
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    options = parser.parse_args()
    files, size = left_on_disk("demo")
    rows = []
    for count in options.experiments:
        seconds = seconds_to_read(count)
        networks = count * NETWORKS
        row = {"experiments": count, "networks": networks, "processor_seconds": seconds}
        row |= {"files": networks + count * files, "table_mb": networks * size / 1e6, "cache_mb": networks * CACHED / 1e6}
        rows.append(row | describe("cpu"))
        print(f"{networks} networks: {seconds:.1f} s", flush=True)
        options.out.mkdir(parents=True, exist_ok=True)
        write_csv(pd.DataFrame(rows), options.out / "reading.csv")


if __name__ == "__main__":
    main()
