"""The benchmark: both sides train the same networks, and its accounts add up.

No test judges how fast something is: what is computed from seconds is tested with a clock of its own.
"""

import math
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import yaml
from bench import backends, compare, cost, cost_page, full_size, growth, machine, overhead, picture, profile_step, reading
from bench.machine import cores, peak_flops
from conftest import ROOT
from workspace import Workspace

from puzzles.base.csvs import write_csv
from puzzles.config.configuration import load_config
from puzzles.training.backends import BACKENDS

NETWORK = "conv5_16 on digits"


@pytest.fixture(scope="module")
def row() -> dict:
    return compare.compare(NETWORK, steps=10, runs=1, networks=2, device="cpu")


def test_both_sides_train_the_same_networks(row: dict) -> None:
    assert row["loss_difference"] < 1e-4


def test_the_baseline_has_torchs_own_layers_and_the_same_weights() -> None:
    plain, ours = (
        compare.plain_network("conv3_24"),
        compare.build(compare.spec_of("conv3_24", 0).architecture, (3, 32, 32), 10),
    )
    compare.initialize(ours, compare.spec_of("conv3_24", 0))
    assert all(type(m).__module__.startswith("torch.") for m in plain.modules())
    assert not all(type(m).__module__.startswith("torch.") for m in ours.modules())
    assert all(torch.equal(p, q) for p, q in zip(plain.parameters(), ours.parameters(), strict=True))


def test_the_share_of_peak_is_what_speed_and_operations_say(row: dict) -> None:
    assert compare.step_flops("conv3_24") > 50 * compare.step_flops(NETWORK)
    of_peak = compare.step_flops(NETWORK) / (1e12 * row["peak_tflops"])
    assert row["share_of_peak"] == pytest.approx(of_peak * row["network_steps_per_s"])
    assert row["baseline_share_of_peak"] == pytest.approx(of_peak * row["baseline_steps_per_s"])


def clock(*seconds: float) -> SimpleNamespace:
    """Takes the place of the module ``time`` where something is timed."""
    readings = iter(seconds)
    return SimpleNamespace(perf_counter=lambda: next(readings))


def test_the_peak_is_that_of_the_fastest_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(machine.SIZE, "cpu", 64)
    monkeypatch.setattr(machine, "time", clock(0.0, 5.0, 5.0, 7.0, 7.0, 10.0))
    assert peak_flops("cpu", repeats=3) == 64 * 64 * (64 + 64) / 2.0  # products and sums, in the second repeat


def test_every_way_to_step_works_here() -> None:
    direct = [name for name, backend in BACKENDS.items() if not backend.compiled]  # compiling takes half a minute
    times = backends.timed(NETWORK, 2, "cpu", direct)
    assert list(times) == [*backends.LOOPS, *(f"stacked, {name}" for name in direct)]
    assert all(math.isfinite(ms) for ms in times.values())


def test_ways_to_step_are_compared_by_the_milliseconds_of_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "loop_seconds", lambda members, plain: (0.003 if plain else 0.002) * len(members))
    monkeypatch.setattr(backends, "step_seconds", lambda members, name: {"grouped": 0.006, "unfold": math.inf}[name])
    times = backends.timed(NETWORK, 3, "cpu", ["grouped", "unfold"])
    assert list(times.values()) == pytest.approx([2.0, 3.0, 2.0, math.inf])


def test_operations_of_a_step_are_those_counted_by_hand() -> None:
    network = compare.build(compare.spec_of("conv3_64", 0).architecture, (3, 32, 32), 10)
    first, second = 16 * 16 * 64 * 75, 8 * 8 * 64 * 25 * 64
    last = next(p for n, p in network.named_parameters() if p.shape[0] == 10 and p.dim() == 2).numel()
    products = 2 * first + 3 * second + 3 * last  # forward, weights, and images but for the first layer
    assert compare.step_flops("conv3_64") == 2 * compare.BATCH * products


def test_the_cost_of_a_configuration_counts_each_network_once(raw: dict) -> None:
    costs = cost.table(load_config(raw)).set_index("experiment")
    assert costs.loc["corruption_3layer", "networks"] == 8 * 8 + 7  # fine-tuned, from scratch, pretrained
    assert costs.loc["corruption_3layer_fixed_loss", "train_pflop"] == 0  # the same networks
    one = compare.step_flops("conv3_24") / compare.BATCH * 50_000 * 300 / 1e15
    assert costs.loc["corruption_3layer", "train_pflop"] == pytest.approx(71 * one)


def test_accounts_of_a_run_add_up(tmp_path: Path) -> None:
    for stage, seconds in (("train", (30.0, 20.0)), ("pretrain", (10.0,)), ("figures", (4.0, 6.0))):
        (tmp_path / "benchmarks" / stage).mkdir(parents=True)
        for k, s in enumerate(seconds):
            measured = pd.DataFrame({"s": [s], "max_rss": [100 + s]})
            measured.to_csv(tmp_path / "benchmarks" / stage / f"{k}.tsv", sep="\t", index=False)
    pd.DataFrame({"s": [5.0], "max_rss": [500]}).to_csv(tmp_path / "benchmarks" / "report.tsv", sep="\t", index=False)
    for stage, end in (("train", "25 s in 2 processes"), ("pretrain", "8 s")):
        (tmp_path / "logs" / stage).mkdir(parents=True)
        (tmp_path / "logs" / stage / "0.log").write_text(f"12:00:00 INFO {stage} a: 3/3 networks, {end}\n")
    table = overhead.account(tmp_path, wall=100.0)
    assert (table.largest_job_mb == 500).all()
    parts = table.set_index("part").core_seconds
    assert parts["training"] == 2 * 25 + 8
    assert parts["around it, in its jobs"] == (2 * 30 + 20 + 10) - (2 * 25 + 8)
    assert (parts["figures jobs"], parts["report jobs"]) == (10, 5)
    assert parts.sum() == pytest.approx(100 * cores())


def test_a_steps_operators_are_found() -> None:
    parts = profile_step.breakdown(profile_step.our_epoch(NETWORK, 3, "cpu"), 3, "cpu")
    absent = {"Fourier transform", "pooling"}  # kernels are small, and the maps are flattened
    assert {kind for kind in profile_step.KINDS if parts[kind] == 0} == absent


@pytest.mark.parametrize(("seconds", "rest"), [(0.010, 1.2), (0.002, 0.0)], ids=["all of it", "slowed by the profiler"])
def test_a_step_is_taken_apart_completely(monkeypatch: pytest.MonkeyPatch, seconds: float, rest: float) -> None:
    microseconds = {
        "aten::mkldnn_convolution": 4000,
        "aten::convolution_backward": 2000,
        "aten::addmm": 600,
        "aten::threshold_backward": 400,
        "aten::_log_softmax": 100,
        "aten::_foreach_add_": 200,
        "aten::index": 200,
        "aten::sum": 100,
        "enumerate(DataLoader)": 5000,  # no operator
    }

    class Profiled:
        def __init__(self, **_: object) -> None: ...
        def __enter__(self) -> "Profiled":
            return self

        def __exit__(self, *_: object) -> None: ...
        def key_averages(self) -> list[SimpleNamespace]:
            return [SimpleNamespace(key=key, self_cpu_time_total=spent) for key, spent in microseconds.items()]

    monkeypatch.setattr(profile_step, "profile", Profiled)
    monkeypatch.setattr(profile_step, "time", clock(0.0, seconds))
    parts = {name: ms for name, ms in profile_step.breakdown(lambda: None, 2, "cpu").items() if ms}
    expected = {"step": 1e3 * seconds / 2, "convolution": 3.0, "matrix product": 0.3, "ReLU": 0.2, "loss": 0.05}
    expected |= {"optimizer": 0.1, "gathering and layout": 0.1, "other operators": 0.05}
    assert parts == pytest.approx(expected | ({"Python and data": rest} if rest else {}))


def test_the_picture_is_drawn_from_the_tables(row: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "POPULATIONS", (1, 2))
    monkeypatch.setattr(growth, "EXAMPLES", (128, 256))
    monkeypatch.setattr("sys.argv", ["growth", "--network", NETWORK, "--steps", "1", "--out", str(tmp_path)])
    growth.main()
    write_csv(pd.DataFrame([row]), tmp_path / "compare.csv")
    table = pd.DataFrame(
        {"part": ["training", "rest"], "core_seconds": [8.0, 2.0], "share": [0.8, 0.2], "wall_seconds": 5.0}
    )
    write_csv(table, tmp_path / "overhead.csv")
    monkeypatch.setattr("sys.argv", ["picture", "--out", str(tmp_path)])
    picture.main()
    assert (tmp_path / "bench.png").stat().st_size > 20_000


def test_the_cost_page_is_made_from_the_published_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert cost_page.PAGE.read_text() == cost_page.render(), "docs/cost.md is older than its tables: make cost"


def test_more_cores_than_networks_do_not_help() -> None:
    config = load_config(yaml.safe_load((ROOT / "config.yaml").read_text()))
    table = cost_page.estimate(config, cost_page.core_speeds(config))
    table, total = table.iloc[:-1], table.iloc[-1]
    assert total.core_hours == pytest.approx(table.core_hours.sum())
    for row in table.itertuples():
        assert row.chain <= row.on_64 <= row.on_16 <= row.on_2 <= max(row.core_hours, row.chain)
        assert row.on_64 == max(row.core_hours / 64, row.chain)
    assert total.on_64 == table.chain.max()  # one residual network takes longer than all others together on 64 cores


def test_the_speed_of_a_gpu_is_that_of_its_networks_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(yaml.safe_load((ROOT / "config.yaml").read_text()))
    timed = {"experiment": "init_3layer", "stacks": "3+1", "networks": 4, "seconds_per_epoch": 2.0}
    write_csv(pd.DataFrame([timed]), tmp_path / "gpu_training.csv")
    monkeypatch.setattr(cost_page, "BENCH", tmp_path)
    architecture = config.experiments["init_3layer"].networks[0].spec.architecture
    (row,) = cost_page.on_a_gpu(config, {"conv3_64": 0.9})  # PFLOP of one core in an hour
    forward, step = (count / compare.BATCH for count in compare.operations(architecture, 3, 32, 10))
    epoch = 50_000 * step + 60_000 * forward / 5  # evaluated every five epochs
    assert row["of_one"] == 0.5
    assert row["tflops"] == pytest.approx(epoch / 0.5 / 1e12)
    assert row["cores"] == pytest.approx(epoch / (0.9e15 / 3600) / 0.5)


def test_what_the_jobs_of_a_run_took(run_once: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run_once.folder)
    config = load_config(yaml.safe_load(Path("results/tiny/config.yaml").read_text()))
    table = full_size.jobs("tiny", config).set_index(["experiment", "stage"])
    assert table.loc[("init_3layer", "train"), "networks"] == 4
    assert table.loc[("init_3layer", "measure"), "networks"] == 4
    for stage, count in (
        ("pretrain", 2),
        ("train", 3),
    ):  # two experiments share their networks: either may have trained them
        shared = table.loc[[("corruption_3layer", stage), ("corruption_3layer_fixed_loss", stage)]]
        assert shared.networks.sum() == count
    assert (table.disk_mb > 0).all() and (table.memory_mb > 0).all()


def test_rules_are_read_for_every_network_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    raw["run"], raw["experiments"] = reading.overlay(3)["run"], raw["experiments"] | reading.overlay(3)["experiments"]
    plan = load_config(raw)
    assert len({n.spec.hash for e in plan.experiments.values() for n in e.networks}) == 300
    monkeypatch.setattr("sys.argv", ["reading", "--experiments", "1", "--out", str(tmp_path)])
    reading.main()
    row = pd.read_csv(tmp_path / "reading.csv").iloc[0]
    assert (row.networks, row.files) == (100, 100 + 11)
    assert row.processor_seconds > 0.5
