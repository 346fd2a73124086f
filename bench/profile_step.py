"""Profile one training step of a network, in the baseline and in our engine.

PYTHONPATH=.:workflow python bench/profile_step.py [--networks conv3_24 conv5_16 ...] [--out results/bench]
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile

from bench import baseline
from bench.compare import BATCH, MEAN, SHAPES, STD, noise, plain_network, pool_of, spec_of
from bench.machine import describe
from puzzles.base.csvs import write_csv
from puzzles.config.specs import Select
from puzzles.training.population import Population

KINDS = {  # a kind of work, by what is in an operator's name
    "convolution": ("conv", "implicit_gemm", "fprop", "dgrad", "wgrad"),
    "Fourier transform": ("fft",),
    "batch norm": ("batch_norm", "var_mean"),
    "matrix product": ("mm",),
    "pooling": ("pool",),
    "ReLU": ("relu", "threshold", "clamp"),
    "loss": ("softmax", "nll_loss"),
    "optimizer": ("foreach", "_fused_sgd"),
    "gathering and layout": ("index", "copy_", "gather", "stack", "cat"),
}


def baseline_epoch(name: str, steps: int, device: str) -> Callable[[], object]:
    """An epoch of the baseline, without workers and with one thread, ready to be called."""
    spec, data = spec_of(name, 0), noise(name, steps * BATCH)
    channels = data.train_x.shape[-1]
    transform = baseline.transform([MEAN] * channels, [STD] * channels, spec.augment == "crop_flip")
    images = baseline.Images(data.train_x, data.train_y, transform)
    network = plain_network(name)
    optimizer = torch.optim.SGD(network.to(device).parameters(), lr=spec.lr, momentum=spec.momentum)
    order = list(range(len(images)))
    return lambda: baseline.train_epoch(network, optimizer, images, order, BATCH, 0, torch.device(device))


def our_epoch(name: str, steps: int, device: str) -> Callable[[], object]:
    """An epoch of our engine with one network, ready to be called."""
    population = Population(noise(name, steps * BATCH), {}, device=device)
    members = [population._member(spec_of(name, 0), [Select("last")])]
    return lambda: population.engine.train_epoch(members)


def breakdown(epoch: Callable[[], object], steps: int, device: str) -> dict[str, float]:
    """Milliseconds of a step by kind of work; ``other operators``, and ``Python and data`` that no operator accounts for.

    The profiler slows Python down, so the whole step is timed without it, and operators with it.
    """
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    epoch()
    wait()
    start = time.perf_counter()
    epoch()
    wait()
    whole = 1e3 * (time.perf_counter() - start) / steps
    activities = [ProfilerActivity.CUDA] if device == "cuda" else [ProfilerActivity.CPU]
    with profile(activities=activities, acc_events=True) as profiled:
        epoch()
    parts = dict.fromkeys([*KINDS, "other operators"], 0.0)
    for event in profiled.key_averages():
        spent = event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
        if not event.key.startswith("aten::") and device == "cpu":
            continue
        kind = next((k for k, words in KINDS.items() if any(word in event.key for word in words)), "other operators")
        parts[kind] += spent / 1e3 / steps
    return {"step": whole} | parts | {"Python and data": max(0.0, whole - sum(parts.values()))}


EPOCHS = {"baseline": baseline_epoch, "ours": our_epoch}


def profiled_step(engine: str, name: str, steps: int, device: str) -> dict[str, float]:
    """``breakdown`` of one engine, on one thread of a process of its own: malloc's settings belong to an engine."""
    torch.set_num_threads(1)
    return breakdown(EPOCHS[engine](name, steps, device), steps, device)


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = []
    for name in options.networks:
        for engine, epoch in EPOCHS.items():
            with pool_of(1, ours=epoch is our_epoch) as process:
                parts = process.submit(profiled_step, engine, name, options.steps, device).result()
            row = {"network": name, "engine": engine}
            rows += [row | {"part": part, "ms": ms, **describe(device)} for part, ms in parts.items()]
    options.out.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    write_csv(table, options.out / "profile.csv")
    print(table.pivot_table("ms", "part", ["network", "engine"], sort=False).round(2).T.to_string())


if __name__ == "__main__":
    main()
