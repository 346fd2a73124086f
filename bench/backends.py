"""Time every way to step a population: those that the engine chooses from, and those that did not pay.

PYTHONPATH=.:workflow python bench/backends.py [--networks conv3_24 conv5 ...] [--population 16] [--out results/bench]
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from bench.compare import BATCH, SHAPES, default_networks, noise, pool_of, spec_of, with_torchs_layers
from bench.machine import describe
from puzzles.base.csvs import write_csv
from puzzles.config.specs import Select
from puzzles.training.backends import BACKENDS
from puzzles.training.fastest_backend import step_seconds
from puzzles.training.members import Member
from puzzles.training.population import LoopEngine, Population

STEPS = 4  # of the loops; a stack is timed as the engine does it
LOOPS = ("one after the other", "one after the other, torch's layers")


def members_of(name: str, count: int, device: str) -> list[Member]:
    """A population that has not trained yet."""
    population = Population(noise(name, STEPS * BATCH), {}, device=device)
    return [population._member(spec_of(name, seed), [Select("last")]) for seed in range(count)]


def loop_seconds(members: list[Member], plain: bool) -> float:
    """Seconds for one step of every member, one after the other; ``plain`` with torch's own layers."""
    for member in members if plain else []:
        with_torchs_layers(member.network)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        LoopEngine().train_epoch(members)
        if next(members[0].network.parameters()).is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:]) / STEPS


def timed(name: str, count: int, device: str, backends: Sequence[str] = tuple(BACKENDS)) -> dict[str, float]:
    """Milliseconds of a step of one network for each way; infinite if a way does not work here."""
    torch.set_num_threads(1)
    ways = {way: loop_seconds(members_of(name, count, device), way == LOOPS[1]) for way in LOOPS}
    ways |= {f"stacked, {backend}": step_seconds(members_of(name, count, device), backend) for backend in backends}
    return {way: 1e3 * seconds / count for way, seconds in ways.items()}


def main() -> None:
    """The command line above."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=list(SHAPES), help="all, but for the residual one on a CPU")
    parser.add_argument("--population", type=int, default=16 if device == "cuda" else 2)
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    options = parser.parse_args()
    rows = []
    for name in options.networks or default_networks(device):
        with pool_of(1, ours=True) as process:
            times = process.submit(timed, name, options.population, device).result()
        rows += [
            {"network": name, "networks": options.population, "way": way, "ms_per_network_step": ms, **describe(device)}
            for way, ms in times.items()
        ]
        options.out.mkdir(parents=True, exist_ok=True)
        write_csv(pd.DataFrame(rows), options.out / "backends.csv")
    table = pd.DataFrame(rows).pivot_table("ms_per_network_step", "way", "network", sort=False)
    print(table.round(2).to_string())


if __name__ == "__main__":
    main()
