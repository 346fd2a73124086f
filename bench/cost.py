"""Count the operations of training and of evaluating for each experiment of a configuration.

PYTHONPATH=.:workflow python bench/cost.py [--configfile workflow/runs/small.yaml] [--out results/bench]
"""

import argparse
from pathlib import Path

import pandas as pd
import yaml
from snakemake.utils import update_config

from bench.compare import BATCH, operations
from puzzles.base.csvs import write_csv
from puzzles.config.configuration import Config, load_config
from puzzles.config.specs import NetworkSpec

SETS = {  # images in the training and the test set, channels, side, classes
    "cifar10": (50_000, 10_000, 3, 32, 10),
    "cifar100": (50_000, 10_000, 3, 32, 100),
    "mnist": (60_000, 10_000, 1, 28, 10),
    "digits": (1_437, 360, 1, 8, 10),
}


def pflop(spec: NetworkSpec) -> tuple[float, float]:
    """PFLOP of a network's training and of its evaluations, up to ``epochs``."""
    train, test, channels, side, classes = SETS[spec.dataset]
    train, side = spec.train_size or train, spec.image_size or side
    forward, step = (count / BATCH for count in operations(spec.architecture, channels, side, classes))
    evaluations = spec.epochs // spec.evaluate_every
    return step * train * spec.epochs / 1e15, forward * (train + test) * evaluations / 1e15


def table(config: Config) -> pd.DataFrame:
    """A row for each experiment; networks that an earlier experiment has trained cost nothing."""
    rows, known = [], set()
    for name, experiment in config.experiments.items():
        specs = {n.spec.hash: n.spec for n in (*experiment.pretrainings, *experiment.networks)}
        costs = [pflop(spec) for key, spec in specs.items() if key not in known]
        known |= set(specs)
        train, evaluate = (sum(c[k] for c in costs) for k in range(2))
        rows.append({"experiment": name, "networks": len(costs), "train_pflop": train, "evaluate_pflop": evaluate})
    return pd.DataFrame(rows)


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", type=Path, help="an overlay on config.yaml")
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    options = parser.parse_args()
    raw = yaml.safe_load(Path("config.yaml").read_text())
    if options.configfile:
        update_config(raw, yaml.safe_load(options.configfile.read_text()))
    costs = table(load_config(raw))
    options.out.mkdir(parents=True, exist_ok=True)
    write_csv(costs, options.out / "cost.csv")
    print(costs.round(2).to_string(index=False))
    print(f"{costs.train_pflop.sum():.0f} PFLOP of training, {costs.evaluate_pflop.sum():.0f} of evaluating")


if __name__ == "__main__":
    main()
