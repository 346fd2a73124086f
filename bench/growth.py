"""Measure how the time of an epoch grows with the number of networks in a population and with the number of examples.

PYTHONPATH=.:workflow python bench/growth.py [--network conv5] [--steps 20] [--out results/bench]
"""

import argparse
import time
from pathlib import Path

import pandas as pd
import torch

from bench.compare import BATCH, SHAPES, noise, spec_of
from bench.machine import describe
from puzzles.base.csvs import write_csv
from puzzles.config.specs import Select
from puzzles.training.population import Population

POPULATIONS = (1, 2, 4, 8, 16, 32)
EXAMPLES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000)


def epoch_seconds(name: str, networks: int, examples: int, device: str) -> float:
    """Seconds of one epoch of a population in one job, once everything has warmed up."""
    population = Population(noise(name, examples), {}, device=device)
    members = [population._member(spec_of(name, seed), [Select("last")]) for seed in range(networks)]
    if device == "cuda":  # graphs are captured in the first epoch
        population.engine.train_epoch(members)
        torch.cuda.synchronize()
    start = time.perf_counter()
    population.engine.train_epoch(members)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="conv5", choices=list(SHAPES))
    parser.add_argument("--steps", type=int, default=20, help="of each network, for the growth with their number")
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    epoch_seconds(options.network, 1, BATCH, device)  # the process itself warms up
    rows = []
    number = [("networks", p, options.steps * BATCH) for p in POPULATIONS]
    for part, networks, examples in [*number, *(("examples", 1, n) for n in EXAMPLES)]:
        seconds = epoch_seconds(options.network, networks, examples, device)
        row = {"network": options.network, "part": part, "networks": networks, "examples": examples}
        row["seconds_per_epoch"] = seconds
        rows.append(row | {"us_per_network_and_example": 1e6 * seconds / networks / examples, **describe(device)})
        print(f"{networks} networks, {examples} examples: {seconds:.2f} s for an epoch", flush=True)
        options.out.mkdir(parents=True, exist_ok=True)
        write_csv(pd.DataFrame(rows), options.out / "growth.csv")


if __name__ == "__main__":
    main()
