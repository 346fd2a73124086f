"""Measure the time that a demo run spends on training and on the rest: imports, files, measuring, drawing, waiting.

PYTHONPATH=.:workflow python bench/overhead.py [--out results/bench]
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from bench.machine import cores, describe
from puzzles.base.csvs import write_csv

ROOT = Path(__file__).parent.parent
SOURCES = ("Snakefile", "config.yaml", "workflow", "profiles", "envs")
TRAINED = re.compile(r"networks, (\d+) s(?: in (\d+) processes)?$")  # how a training job ends its log (progress.py)
TRAINING = ("pretrain", "train")  # stages whose jobs take several cores


def demo(folder: Path, overlay: str = "workflow/runs/demo.yaml") -> pd.DataFrame:
    """Run the demo in an empty folder, without a cache; see ``account``."""
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    start = time.perf_counter()
    command = [sys.executable, "-m", "snakemake", "--configfile", overlay, "--cores", str(cores())]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return account(folder / "results" / Path(overlay).stem, time.perf_counter() - start)


def account(run: Path, wall: float) -> pd.DataFrame:
    """Core-seconds of each stage of a run that started without a cache, and what is left of ``wall`` seconds on all cores.

    Training is what the jobs themselves report between the start and the end of their networks' training; the other rows
    are the jobs' whole times from Snakemake's benchmark files, and ``rest`` is what no job accounts for: starting Snakemake
    and the jobs, and cores with nothing to do. Beside them the whole run's wall time, and the memory of its largest job.
    """
    jobs = {stage.name: _seconds(stage, run / "logs") for stage in sorted((run / "benchmarks").iterdir())}
    logs = [log for stage in TRAINING for log in (run / "logs" / stage).glob("*.log")]
    training = sum(seconds * processes for seconds, processes in map(_trained, logs))
    around = jobs.pop("pretrain", 0) + jobs.pop("train") - training
    rows = [{"part": "training", "core_seconds": training}, {"part": "around it, in its jobs", "core_seconds": around}]
    rows += [{"part": f"{stage.removesuffix('.tsv')} jobs", "core_seconds": seconds} for stage, seconds in jobs.items()]
    rows += [{"part": "rest", "core_seconds": wall * cores() - sum(row["core_seconds"] for row in rows)}]
    table = pd.DataFrame(rows)
    table["share"] = table.core_seconds / (wall * cores())
    return table.assign(wall_seconds=wall, largest_job_mb=_largest(run / "benchmarks"), **describe("cpu"))


def _seconds(stage: Path, logs: Path) -> float:
    """Of all jobs of a stage, times the cores that each had."""
    total = 0.0
    for file in [stage] if stage.is_file() else stage.glob("*.tsv"):
        log = logs / stage.name / f"{file.stem}.log"
        processes = _trained(log)[1] if stage.name in TRAINING and log.is_file() else 1
        total += float(pd.read_csv(file, sep="\t").s.sum()) * processes
    return total


def _largest(benchmarks: Path) -> float:
    """MB of memory that the largest job held at once."""
    return float(max(pd.read_csv(file, sep="\t").max_rss.max() for file in benchmarks.rglob("*.tsv")))


def _trained(log: Path) -> tuple[float, int]:
    """The seconds that a job has trained, and in how many processes."""
    match = TRAINED.search(log.read_text().rstrip())
    return (float(match[1]), int(match[2] or 1)) if match else (0.0, 1)


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = demo(Path(folder))
    options.out.mkdir(parents=True, exist_ok=True)
    write_csv(table, options.out / "overhead.csv")
    outside = 1 - table.set_index("part").share["training"]
    about = f"{table.wall_seconds.iloc[0]:.0f} s on {cores()} cores, {100 * outside:.0f} % of it outside training"
    print(f"demo: {about}; the largest job held {table.largest_job_mb.iloc[0]:.0f} MB")


if __name__ == "__main__":
    main()
