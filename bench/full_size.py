"""What the training jobs of a finished run took: for each, networks trained, core-minutes, memory, disk.

PYTHONPATH=.:workflow python bench/full_size.py paper [--out results/bench]
"""

import argparse
import re
from pathlib import Path

import pandas as pd
import yaml

from puzzles.base import paths
from puzzles.base.csvs import read_csv, write_csv
from puzzles.config.configuration import Config, load_config
from puzzles.output.provenance import commit, processor

STAGES = ("pretrain", "train", "measure")
TRAINED = re.compile(r"networks are in the cache, training (\d+)")


def jobs(run: str, config: Config) -> pd.DataFrame:
    """A row for each job of a run in ``results`` that pretrains, trains or measures.

    ``networks``: those that the job has trained (or measured), not those that it found in the cache. ``core_minutes``:
    processor time of all its processes. ``memory_mb``: the largest resident size of its processes together, shared memory
    counted in each. ``disk_mb``: what its networks take in the cache. A job that was killed and started again counts from
    its last start.
    """
    rows = []
    for name, experiment in config.experiments.items():
        for stage in STAGES:
            path = paths.RESULTS / run / "benchmarks" / stage / f"{name}.tsv"
            if not path.is_file():
                continue
            used = pd.read_csv(path, sep="\t").iloc[-1]
            networks = experiment.pretrainings if stage == "pretrain" else experiment.networks
            found = TRAINED.search((paths.RESULTS / run / "logs" / stage / f"{name}.log").read_text())
            files = [paths.cached_network(n.spec.hash) for n in networks]
            count = len(networks) if stage == "measure" else int(found.group(1)) if found else 0
            if stage != "measure" and used.mean_load < 5:  # percent: another job has trained them while this one waited
                count = 0
            rows.append(
                {"run": run, "experiment": name, "stage": stage, "networks": count}
                | {"core_minutes": used.cpu_time / 60, "minutes": used.s / 60, "memory_mb": used.max_rss}
                | {"disk_mb": sum(f.stat().st_size for f in files if f.is_file()) / 2**20}
            )
    return pd.DataFrame(rows).assign(device=processor(), commit=commit())


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    options = parser.parse_args()
    config = load_config(yaml.safe_load((paths.RESULTS / options.run / "config.yaml").read_text()))
    table = jobs(options.run, config)
    options.out.mkdir(parents=True, exist_ok=True)
    path, job = options.out / "full_size.csv", ["run", "experiment", "stage"]
    table = table[table.networks > 0]  # a job that found all in the cache says nothing
    if path.is_file():  # what other runs took, and jobs of this one that had nothing to do now
        known = read_csv(path)
        again = known.set_index(job).index.isin(table.set_index(job).index)
        table = pd.concat([known[~again], table], ignore_index=True).sort_values(job)
    write_csv(table, path)
    print(table.round(1).to_string(index=False))


if __name__ == "__main__":
    main()
