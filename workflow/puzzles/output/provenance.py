"""Record where the results of a run come from: data, code, machine, and the time it took."""

import json
import os
import platform
import subprocess
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from safetensors import safe_open

from puzzles.base import paths
from puzzles.config.configuration import Config
from puzzles.output.reuse import measurement_digest, measuring_code

STAGES = ("pretrain", "train", "measure")
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "statsmodels", "matplotlib", "snakemake")


def collect(config: Config, datasets: list[dict], folder: str | Path, reused: dict[str, dict]) -> dict:
    """Collect what the tables of a run do not say.

    Args:
        datasets: the provenance of each data set, as the data stage wrote it.
        folder: that of the run, with Snakemake's benchmark files, for the seconds that each job took, and the networks,
            for what has trained them: it may be another machine's GPU.
        reused: experiments whose tables were taken from a published run, and where those were computed (``reuse.origins``).
    """
    return {
        "run": config.run,
        "time": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "processor": processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "datasets": datasets,
        "measuring_code": measuring_code(),
        "measurement_digests": {name: measurement_digest(e) for name, e in config.experiments.items()},
        "reused": reused,
        "seconds": {name: _seconds(Path(folder) / "benchmarks", name) for name in config.experiments},
        "trained_by": {name: _trained_by(Path(folder) / "trained" / f"{name}.safetensors") for name in config.experiments},
    }


def commit() -> str:
    """The commit of the working folder, ``-dirty`` where something but results differs from it; ``unknown`` without git."""
    described = _git("describe", "--always").stdout.strip()
    differs = described and _git("diff", "--quiet", "HEAD", "--", ".", f":(exclude){paths.RESULTS}").returncode
    return f"{described}-dirty" if differs else described or "unknown"


def _git(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *command], capture_output=True, text=True, check=False)


def processor() -> str:
    """The name of the processor, where the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _seconds(benchmarks: Path, experiment: str) -> dict[str, float]:
    """Seconds of the jobs of each stage, shards added up; jobs that found their networks in the cache were short."""
    found = {}
    for stage in STAGES:
        files = [f for pattern in (f"{experiment}.tsv", f"{experiment}-*.tsv") for f in (benchmarks / stage).glob(pattern)]
        if files:
            found[stage] = float(sum(pd.read_csv(file, sep="\t").s.sum() for file in files))
    return found


def _trained_by(file: Path) -> list[dict]:
    """What has trained how many networks of an experiment's file: ``[{"engines": ["loop on cpu"], "networks": 3}]``.

    Empty without the file; ``engines`` are in the order in which they trained, and empty where that was not noted.
    """
    if not file.is_file():
        return []
    with safe_open(file, framework="pt") as stored:
        engines: dict[str, list[str]] = json.loads(stored.metadata()["about"])["engines"]
    first = {name: used for name, used in engines.items() if "@" not in name}  # further snapshots are of the same trainings
    counted = Counter(tuple(used) for used in first.values()).most_common()
    return [{"engines": list(used), "networks": networks} for used, networks in counted]
