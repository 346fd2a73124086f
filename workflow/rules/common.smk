# Load and check the configuration, and the few functions that rules share.
import os
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)

from puzzles import paths
from puzzles.config import load
from puzzles.digests import code_digest, digest
from puzzles.errors import ConfigError
from puzzles.workspace import clear_stale_lock

# For the scripts: where the library is, and one thread for each job. With the malloc settings, blocks of the size of a
# batch are kept instead of being given back to the system at every step (measured: 1.06 to 1.2 times faster).
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [workflow.basedir, os.environ.get("PYTHONPATH")])
)
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_"):
    os.environ.setdefault(name, str(2**28))

clear_stale_lock()

try:
    config_ = load(config)
except ConfigError as error:
    sys.exit(str(error))


wildcard_constraints:
    experiment="[A-Za-z0-9_]+",
    dataset="[A-Za-z0-9_-]+",
    figure="fig[A-Za-z0-9_]+",
    shard=r"\d+",


def out(*parts):
    """A file of this run."""
    return paths.run(config_.run, *parts)


def logs(*parts):
    return out("logs", *parts)


def benchmarks(*parts):
    return out("benchmarks", *parts)


def experiment_dataset(wildcards):
    """The data set of an experiment."""
    name = config_.experiments[wildcards.experiment].dataset
    return paths.dataset(name).as_posix()


def print_results():
    """Name what was made, for somebody who has just run it."""
    page = Path(out("report.html"))
    if page.is_file():
        print(f"\nFigures: {out('figures')}/*.png and *.pdf\nTables:  {out('tables')}/*.csv")
        print(f"Report:  {page}  (open it in a browser)")
