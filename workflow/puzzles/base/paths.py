"""All file names of the project. Those of a run are relative to the working directory."""

import os
import tempfile
from pathlib import Path

RESULTS = Path("results")
CACHE = RESULTS / "cache"
DATA = RESULTS / "data"  # verified data sets, shared by all runs
REFERENCE = RESULTS / "reference"  # published runs
BACKEND_CHOICES = CACHE / "backends.json"  # which convolution backend was fastest here

# What a run keeps of each experiment, by folder, and a published run as well.
EXPERIMENT_FILES = {
    "history": ".csv",
    "measurements": ".csv",
    "families": ".csv",
    "rescaled": ".csv",
    "histograms": ".csv",
    "correct": ".npz",
}

# The tables that follow from them, in results/<run>/tables: one of each experiment, and one of all.
ANALYSES = ("fits", "ranks", "pivots", "rescaling", "monitoring")

WORKFLOW = Path(__file__).parents[2]  # the project's folder workflow/
PAPER_CONFIG = WORKFLOW.parent / "config.yaml"
CLAIMS = WORKFLOW / "claims.yaml"
COLUMNS = WORKFLOW / "columns.yaml"  # of all tables
SCHEMA = WORKFLOW / "schemas" / "config.schema.yaml"
REPORT_TEMPLATE = WORKFLOW / "report" / "report.html.j2"
ERRATA = WORKFLOW / "report" / "errata.yaml"
RESULTS_TEMPLATE = WORKFLOW / "report" / "results.md.j2"
RESULTS_TEXTS = WORKFLOW / "report" / "results.yaml"


def dataset(name: str) -> Path:
    """The verified data set, shared by all runs."""
    return DATA / f"{name}.npz"


def cached_network(spec_hash: str) -> Path:
    """One trained network with its history and snapshots."""
    return Path(f"{CACHE}/networks/{spec_hash}.safetensors")  # in one piece: asked for each of 40,000 networks


def checkpoint(spec_hash: str) -> Path:
    """A network in the middle of its training."""
    return CACHE / "checkpoints" / f"{spec_hash}.pt"


def network_lock(spec_hash: str) -> Path:
    """Held by the process that trains the network."""
    return CACHE / "locks" / f"{spec_hash}.lock"


def training_record(name: str) -> Path:
    """How far a training job is, and how fast: for the time left, and for jobs after it."""
    return CACHE / "jobs" / f"{name}.json"


def started(run_name: str) -> Path:
    """What the last Snakemake process of a run has set out to do."""
    return RESULTS / run_name / "logs" / "started.json"


def gpu_lock(identifier: str) -> Path:
    """Held by the process that trains on a GPU: outside the project, so that two projects of a user take turns."""
    return Path(tempfile.gettempdir()) / f"puzzles-{os.getuid()}-gpu-{identifier}.lock"


def run(name: str, *parts: str) -> str:
    """A file of a run, as Snakemake wants it: ``run("demo", "figures", "fig02.png")``."""
    return (RESULTS / name).joinpath(*parts).as_posix()


def experiment_files(run_name: str, experiment: str) -> list[str]:
    """What a run keeps of an experiment, in the order of ``EXPERIMENT_FILES``."""
    return [run(run_name, folder, f"{experiment}{suffix}") for folder, suffix in EXPERIMENT_FILES.items()]


def published_runs() -> list[str]:
    """The names of the runs in results/reference."""
    return sorted(path.parent.name for path in REFERENCE.glob("[!.]*/config.yaml"))
