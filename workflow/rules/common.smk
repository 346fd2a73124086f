# Load and check the configuration, and the few functions that rules share.
import sys
from pathlib import Path

here = Path(str(workflow.current_basedir)).parent  # the folder workflow/
sys.path.insert(0, str(here))

from puzzles import paths
from puzzles.config import load
from puzzles.digests import code_digest, digest
from puzzles.errors import ConfigError
from puzzles.reuse import measured, measuring, origins, reusable, reused_tables
from puzzles.workspace import clear_stale_lock, has_gpu, set_environment

set_environment(str(here))
clear_stale_lock()

try:
    plan = load(config)
except ConfigError as error:
    sys.exit(str(error))

reused = reusable(plan)


wildcard_constraints:
    experiment="[A-Za-z0-9_]+",
    dataset="[A-Za-z0-9_-]+",
    figure="fig[A-Za-z0-9_]+",
    shard=r"\d+",


def gpus():
    """How many GPUs a job that trains or measures takes."""
    return int(has_gpu() and plan.runtime.get("device", "auto") != "cpu")


def out(*parts):
    """A file of this run."""
    return paths.run(plan.run, *parts)


def logs(*parts):
    return out("logs", *parts)


def benchmarks(*parts):
    return out("benchmarks", *parts)


def experiment_dataset(wildcards):
    """The data set of an experiment."""
    name = plan.experiments[wildcards.experiment].dataset
    return paths.dataset(name).as_posix()


def own_npz(wildcards):
    """The user's file behind a data set of source npz; one that is missing is the script's to complain about."""
    folder, settings = plan.raw.get("data_dir", "data"), plan.raw["datasets"][wildcards.dataset]
    path = Path(folder) / settings.get("path", "")
    return [path.as_posix()] if path.is_file() else []


def pretrained_networks(wildcards):
    """The pretrained networks of an experiment, if it has any."""
    name = wildcards.experiment
    return out("pretrained", f"{name}.safetensors") if plan.experiments[name].pretrainings else []


def finished_shards(wildcards):
    """The shards of an experiment; one that is not divided needs none."""
    name, count = wildcards.experiment, plan.experiments[wildcards.experiment].shards
    return [out("trained", "shards", f"{name}-{k}.txt") for k in range(count)] if count > 1 else []


def figure_tables(*folder):
    """An input function: the table in a folder for each experiment that a figure is drawn from."""
    return lambda w: [out(*folder, f"{name}.csv") for name in plan.figure_experiments(w.figure)]


def print_results():
    """Name what was made, for somebody who has just run it."""
    page = Path(out("report.html"))
    if page.is_file():
        print(f"\nFigures: {out('figures')}/*.png and *.pdf\nTables:  {out('tables')}/*.csv")
        print(f"Report:  {page}  (open it in a browser)")
