"""Compare our engine with the baseline in one run: the same networks, the same steps, interleaved.

PYTHONPATH=.:workflow python bench/compare.py [--networks conv3_24 conv3_34 ...] [--steps 200] [--runs 5]
"""

import argparse
import math
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench import baseline
from bench.machine import cores, describe, peak_flops
from puzzles.base.csvs import write_csv
from puzzles.base.environment import set_environment
from puzzles.config.specs import Architecture, NetworkSpec, Select, from_dict
from puzzles.data.batches import batch_order
from puzzles.data.dataset import Dataset
from puzzles.data.preparation import Preparation
from puzzles.networks.architectures import build, initialize
from puzzles.networks.layers import Conv2d, Flatten
from puzzles.training.members import Member
from puzzles.training.population import Population

ROOT = Path(__file__).parent.parent
SHAPES = {  # side of the images, channels
    "conv3_64": (32, 3),
    "conv3_24": (32, 3),
    "conv3_34": (28, 1),
    "conv5": (32, 3),
    "resnet56": (32, 3),
    "conv3_24 on digits": (10, 1),
    "conv5_16 on digits": (8, 1),
}
BATCH = 128
EPOCH = 50_000  # examples in what the table calls an epoch
MEAN, STD = 0.5, 0.5


def spec_of(name: str, seed: int) -> NetworkSpec:
    """The network of a line of the table."""
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())["architectures"]
    architecture = from_dict(Architecture, raw[name.split()[0]])
    augment = "crop_flip" if architecture.builder == "resnet" else "none"
    init = "kaiming" if architecture.builder == "resnet" else "default"
    return NetworkSpec(
        "noise", architecture, input_mean=(MEAN,), input_std=(STD,), augment=augment, init=init, batch_size=BATCH, seed=seed
    )


def noise(name: str, count: int) -> Dataset:
    """Seeded noise in the shape of the data: speed does not depend on what is in the images."""
    (side, channels), draw = SHAPES[name], np.random.default_rng(0)
    sets = [(draw.integers(256, size=(n, side, side, channels), dtype=np.uint8), np.arange(n) % 10) for n in (count, 10)]
    return Dataset("noise", *sets[0], *sets[1])


@cache
def operations(architecture: Architecture, channels: int, side: int, classes: int) -> tuple[int, int]:
    """Floating-point operations for BATCH images: of the forward pass, and of a training step, forward and backward.

    Convolutions that ``layers.Conv2d`` computes in another way count as direct ones, so that shares of the peak can be
    compared.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        outputs = build(architecture, (channels, side, side), classes)(torch.zeros(BATCH, channels, side, side))
        forward = counter.get_total_flops()
        outputs.sum().backward()
    return forward, counter.get_total_flops()


def step_flops(name: str) -> int:
    """Operations of one step of one network; see ``operations``."""
    side, channels = SHAPES[name]
    return operations(spec_of(name, 0).architecture, channels, side, 10)[1]


def default_networks(device: str) -> list[str]:
    """All of them, but on a CPU not the residual one: 200 steps of it take minutes."""
    return [name for name in SHAPES if name != "resnet56" or device == "cuda"]


def plain_network(name: str) -> nn.Module:
    """The initialized network with torch's own layers, as the baseline trains it."""
    (side, channels), spec = SHAPES[name], spec_of(name, 0)
    network = build(spec.architecture, (channels, side, side), 10)
    initialize(network, spec)
    return with_torchs_layers(network)


def with_torchs_layers(network: nn.Module) -> nn.Module:
    """Replace our layers of a network by torch's own, in place."""
    for module in network.modules():
        module.__class__ = {Conv2d: nn.Conv2d, Flatten: nn.Flatten}.get(type(module), type(module))
    return network


def run_baseline(name: str, steps: int, workers: int, threads: int, device: str) -> tuple[float, float]:
    """Seconds of one network's epoch, and its loss afterwards; see ``final_loss``."""
    torch.set_num_threads(threads)
    spec, data = spec_of(name, 0), noise(name, steps * BATCH)
    channels = data.train_x.shape[-1]
    transform = baseline.transform([MEAN] * channels, [STD] * channels, spec.augment == "crop_flip")
    images = baseline.Images(data.train_x, data.train_y, transform)
    network = plain_network(name)
    network.to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=spec.lr, momentum=spec.momentum)
    order = batch_order(spec, 0, steps * BATCH).tolist()
    seconds = baseline.train_epoch(network, optimizer, images, order, BATCH, workers, torch.device(device))
    return seconds, final_loss(network, name, steps, device)


def final_loss(network: nn.Module, name: str, steps: int, device: str) -> float:
    """The loss on the first thousand training images, in eval mode; it shows whether both have trained the same."""
    examples = Preparation(noise(name, steps * BATCH), device).examples(spec_of(name, 0))
    network.eval()
    with torch.no_grad():
        x, y = examples.train_x[:1000].permute(0, 3, 1, 2), examples.train_y[:1000]
        return float(nn.functional.cross_entropy(network(x), y))


def run_ours(name: str, steps: int, seeds: list[int], device: str, start_at: float) -> tuple[float, float, float]:
    """Times at which a job started and ended an epoch of its networks, and the loss of the first one afterwards."""
    torch.set_num_threads(1)
    population = Population(noise(name, steps * BATCH), {}, device=device)
    members = [population._member(spec_of(name, seed), [Select("last")]) for seed in seeds]
    if device == "cuda":  # graphs are captured and backends timed once, not in every epoch
        population.engine.train_epoch(members)
        for member in members:
            rewind(member)
    time.sleep(max(0.0, start_at - time.time()))
    start = time.time()
    population.engine.train_epoch(members)
    if device == "cuda":
        torch.cuda.synchronize()
    end = time.time()
    return start, end, final_loss(members[0].network, name, steps, device)


def rewind(member: Member) -> None:
    """Reset a member to before its first step, in place, since a captured graph uses the same memory."""
    initialize(member.network, member.spec)
    for module in member.network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_parameters()  # and its running statistics
    for state in member.optimizer.state.values():
        state["momentum_buffer"].zero_()
    member.epoch = 0


def ours(pool: ProcessPoolExecutor, name: str, steps: int, networks: int, jobs: int, device: str) -> tuple[float, float]:
    """Seconds of an epoch of ``networks`` networks over ``jobs`` jobs, and the first network's loss."""
    start_at = time.time() + 3 + 4e-4 * steps  # by then all jobs have prepared their data
    shares = [list(range(networks))[k::jobs] for k in range(jobs)]
    done = [job.result() for job in [pool.submit(run_ours, name, steps, share, device, start_at) for share in shares]]
    return max(end for _, end, _ in done) - min(start for start, _, _ in done), done[0][2]


def compare(name: str, steps: int, runs: int, networks: int, device: str) -> dict:
    """One line of the table: the median of interleaved runs, the range of the ratio, and the share of the peak.

    The peak is that of large fp32 products (TF32 on a GPU) measured in the same run, of all cores together.
    """
    jobs = 1 if device == "cuda" else cores()
    with pool_of(1) as one, pool_of(jobs, ours=True) as many:
        peak = sum(pool.result() for pool in [many.submit(peak_flops, device) for _ in range(jobs)])
        trial = max(10, steps // 8)
        settings = [(w, t) for w in (0, 2) for t in (1, 2)]
        trials = {s: one.submit(run_baseline, name, trial, *s, device).result()[0] for s in settings}
        workers, threads = min(trials, key=trials.get)
        rows = []
        for _ in range(runs):
            base, base_loss = one.submit(run_baseline, name, steps, workers, threads, device).result()
            our, our_loss = ours(many, name, steps, networks, jobs, device)
            rows.append((steps / base, steps * networks / our, base_loss, our_loss))
    table = pd.DataFrame(rows, columns=["baseline", "ours", "baseline_loss", "our_loss"])
    ratio, flops = table.ours / table.baseline, step_flops(name)
    return {
        "network": name,
        "networks": networks,
        "steps": steps,
        "runs": runs,
        "baseline_steps_per_s": table.baseline.median(),
        "baseline_workers": workers,
        "baseline_threads": threads,
        "network_steps_per_s": table.ours.median(),
        "ratio": ratio.median(),
        "ratio_low": ratio.min(),
        "ratio_high": ratio.max(),
        "loss_difference": float((table.our_loss / table.baseline_loss - 1).abs().max()),
        "network_epochs_per_s": table.ours.median() / math.ceil(EPOCH / BATCH),
        "pflop_per_epoch": flops * EPOCH / BATCH / 1e15,
        "share_of_peak": flops * table.ours.median() / peak,
        "baseline_share_of_peak": flops * table.baseline.median() / peak,
        "peak_tflops": peak / 1e12,
        **describe(device),
    }


@contextmanager
def pool_of(jobs: int, ours: bool = False) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes; ours with the environment of our jobs (malloc's settings work only when set before Python starts)."""
    before = dict(os.environ)
    if ours:
        set_environment(str(ROOT))
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(time.sleep, [0.2] * jobs))  # started, and in this environment
        os.environ.clear()
        os.environ.update(before)
        yield pool


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=list(SHAPES), help="all, but for the residual one on a CPU")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--population", type=int, help="at once: on a GPU 16 (12 residual ones), on a CPU one a core")
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = []
    for name in options.networks or default_networks(device):
        most = (12 if name == "resnet56" else 16) if device == "cuda" else cores()
        rows.append(compare(name, options.steps, options.runs, options.population or most, device))
        row = rows[-1]
        print(f"{name}: {row['ratio']:.2f} x ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})", flush=True)
        options.out.mkdir(parents=True, exist_ok=True)
        write_csv(pd.DataFrame(rows), options.out / "compare.csv")


if __name__ == "__main__":
    main()
