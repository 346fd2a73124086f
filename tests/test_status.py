"""What is said about a run: how much there is to train, how long it takes, how far it is, where its results are."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, small_spec
from test_workflow import kill_tree
from workspace import RUN, Workspace, fresh

from puzzles.config.configuration import load_config
from puzzles.config.speed import Record, Speeds, kind
from puzzles.config.whole import Started, Whole
from puzzles.config.work import UNKNOWN, form_of, work
from puzzles.training.progress import EpochReport, Progress

FORM = (8, 1, 1437)


def status(workspace: Workspace, *arguments: str, ok: bool = True) -> str:
    command = [sys.executable, "-m", "puzzles.output.status", *arguments]
    environment = {**os.environ, "PYTHONPATH": "workflow"}
    done = subprocess.run(command, cwd=workspace.folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == ok, done.stderr
    return done.stdout + done.stderr


def row(text: str, label: str) -> dict[str, str]:
    lines = text.splitlines()
    names = lines[1].split()
    values = next(line for line in lines[2:] if line.startswith(f"{label}  ")).removeprefix(label).split()
    return dict(zip(names, values, strict=False))


# ---------------------------------------------------------------- before and after


def test_a_dry_run_says_what_would_train_and_what_is_cached(finished: Workspace) -> None:
    output = finished.snakemake("-n")
    assert "\n9 networks: 9 in the cache, 0 to train\n" in output
    finished.change("experiments.init_3layer.sweep.values", [0.1, 0.15, 0.2, 0.25])
    output = finished.snakemake("-n")
    assert re.search(r"\n10 networks: 9 in the cache, 1 to train, about [\d:]+ on 2 cores \(at the speed of \d", output)
    assert "\n  init_3layer: 4 in the cache, 1 to train\n" in output
    assert "\n  corruption_3layer, pretraining: 2 in the cache, 0 to train\n" in output
    assert "\n  corruption_3layer_fixed_loss: 0 in the cache, 0 to train, 3 shared with those above\n" in output
    assert re.search(r"\n5 networks: 5 in the cache, 0 to train\n", finished.snakemake("-n", "fig10"))
    graph = subprocess.run(finished.command("--dag"), cwd=finished.folder, capture_output=True, text=True, check=True)
    assert graph.stdout.startswith("digraph") and "networks:" not in graph.stdout
    assert "networks:" not in finished.snakemake("-n", "--quiet", "all")


def test_where_nothing_was_trained_the_published_speed_stands_in_or_nothing_is_said(tmp_path: Path) -> None:
    empty = fresh(tmp_path / "project")
    assert "9 to train; how long that takes is not known" in empty.snakemake("-n")
    shutil.copytree(ROOT / "results/reference/bench", empty.folder / "results/reference/bench")
    assert re.search(r"9 to train, about [\d:]+ on 2 cores \(as fast as the published benchmark, ", empty.snakemake("-n"))


def test_the_end_says_where_the_results_are_that_were_asked_for(finished: Workspace) -> None:
    figure = "\nfig10:   results/tiny/figures/fig10.png, .pdf and .svg\n"
    for name in ("fig10.png", "fig02.png"):
        (finished.folder / RUN / "figures" / name).unlink()
    output = finished.snakemake("fig10")
    assert output.endswith(figure)
    assert "fig02" not in output and "Report:" not in output
    assert finished.snakemake("fig10").endswith(figure)  # nothing to be done
    assert figure not in finished.snakemake("-n", "fig10")
    output = finished.snakemake("tables")
    assert output.endswith("\nTables:  results/tiny/tables/*.csv\nClaims:  results/tiny/tables/scorecard.csv\n")
    output = finished.snakemake()
    assert output.endswith("\nReport:  results/tiny/report.html  (open it in a browser)\n")
    assert "fig99: found no such figure" in finished.snakemake("fig99", ok=False)
    assert "Report:" not in finished.snakemake("results/tiny/nono.csv", ok=False)  # no rule makes it


# ---------------------------------------------------------------- while a run runs


def slow(workspace: Workspace) -> None:
    """Trainings of some seconds, which say often how far they are."""
    workspace.change("runtime.progress_seconds", 0.5)
    workspace.change("run.experiments", ["init_3layer", "corruption_3layer"])
    workspace.change("experiments.init_3layer.network.epochs", 300)
    workspace.change("experiments.init_3layer.network.max_epochs", 300)


def test_a_run_is_followed_from_its_start_over_its_death_to_its_end(tmp_path: Path) -> None:
    project = fresh(tmp_path / "project")
    slow(project)
    assert status(project, "--configfile", "tiny.yaml").startswith("results/tiny: not started")
    process = subprocess.Popen(project.command(), cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not re.search("now: train init_3layer, [1-4] networks at epochs? [1-9]", text := status(project)):
        assert process.poll() is None and time.monotonic() < deadline, text
        time.sleep(0.1)
    assert text.startswith("results/tiny: running since ")
    all_of_them = {k: int(v) for k, v in row(text, "all, each once").items()}
    assert all_of_them["networks"] == 9
    parts = ("cached", "training", "checkpoint", "failed", "missing")
    assert sum(all_of_them[name] for name in parts) == 9 and all_of_them["training"] > 0
    assert re.search(r"left: \d networks, about 0:\d\d:\d\d on 2 cores \(at the speed of ", text)

    kill_tree(process)
    text = status(project, "tiny")
    assert text.startswith("results/tiny: not running, and not finished; last started ")
    assert "failed: train init_3layer: stopped before its end" in text
    init = {k: int(v) for k, v in row(text, "init_3layer").items() if k != "tables"}
    assert init["training"] == 0 and init["cached"] + init["checkpoint"] + init["failed"] == 4 and init["checkpoint"] > 0

    output = project.snakemake()
    assert re.search(r"; the whole run: \d networks to go, about [\d:]+ left", output)
    assert status(project).startswith("results/tiny: finished; last started ")
    assert row(status(project), "all, each once")["cached"] == "9"


def test_a_failed_job_is_named_with_its_error_and_what_follows_is_old(finished: Workspace) -> None:
    weights = finished.folder / RUN / "trained/init_3layer.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    finished.snakemake("fig02", "--forcerun", "measure", ok=False)
    text = status(finished)
    assert "failed: measure init_3layer: results/tiny/trained/init_3layer.safetensors: damaged" in text
    assert "not running, and not finished" in text
    assert row(text, "init_3layer")["tables"] == "old" and row(text, "corruption_3layer")["tables"] == "there"
    assert "2 of 3 figures (older than their tables: fig02)" in text
    assert "report old" in text


def test_status_finds_runs_by_name_by_file_or_the_last(finished: Workspace) -> None:
    shutil.copy(ROOT / "workflow/runs/demo.yaml", finished.folder / "other.yaml")
    for arguments in ([], ["tiny"], ["--configfile", "tiny.yaml"]):
        assert status(finished, *arguments).startswith("results/tiny: finished")
    assert status(finished, "demo") == status(finished, "--configfile", "other.yaml")
    assert status(finished, "demo").startswith("results/demo: not started")
    assert "nono: found no run of this name, expected one of: demo, own, paper" in status(finished, "nono", ok=False)
    assert "no.yaml: found no such file" in status(finished, "--configfile", "no.yaml", ok=False)
    finished.change("run.experiments", ["init_3layer"])  # the last run had more
    text = status(finished, "--configfile", "tiny.yaml")
    assert row(text, "all, each once")["networks"] == "4" and "corruption" not in text
    shutil.rmtree(finished.folder / RUN / "logs")
    assert status(finished, "tiny").startswith("results/tiny: finished")  # by an earlier version


# ---------------------------------------------------------------- the estimate


def test_what_is_left_shrinks_with_every_epoch_and_network(raw: dict, workdir: Path) -> None:
    raw["run"]["experiments"] = ["corruption_3layer"]
    config = load_config(raw)
    jobs = [["pretrain", "corruption_3layer"], ["train", "corruption_3layer"]]
    whole = Whole(config, Started(time.time(), 4, ["all"], jobs, {}, raw))
    assert whole.left("cpu").seconds is None  # no speed is known, and none is made up
    assert whole.left("cpu").networks == len(whole.all)
    first, second = (n.spec for n in config.experiments["corruption_3layer"].networks[:2])
    record = Record("train", "cpu", 2, [kind(first)], work=1e12, seconds=100.0)
    record.write("job")
    begun = whole.left("cpu")
    pretraining = {n.spec.hash for n in config.experiments["corruption_3layer"].pretrainings}
    total = sum(whole.work(n.spec) for n in whole.all.values())
    assert begun.seconds == pytest.approx(total / 1e10 / 4 + 4 * len(jobs))  # 1e12 operations in 100 s, four cores
    record.epochs = {first.hash: first.epochs // 2}
    record.write("job")
    half = whole.left("cpu").seconds
    assert half == pytest.approx(begun.seconds - whole.work(first) / 2 / 1e10 / 4)
    cache = workdir / "results/cache/networks"
    cache.mkdir(parents=True)
    for key in (first.hash, second.hash):
        (cache / f"{key}.safetensors").touch()
    assert whole.left("cpu").networks == begun.networks - 2
    assert whole.left("cpu").seconds < half
    for key in whole.all:
        (cache / f"{key}.safetensors").touch()
    assert whole.left("cpu").seconds == 0.0 and pretraining <= set(whole.all)
    assert whole.left("cuda").networks == 0


def test_many_cores_wait_for_the_longest_network_with_its_pretraining(raw: dict, workdir: Path) -> None:
    raw["run"]["experiments"] = ["corruption_3layer"]
    config = load_config(raw)
    jobs = [["pretrain", "corruption_3layer"], ["train", "corruption_3layer"]]
    whole = Whole(config, Started(time.time(), 1_000_000, ["all"], jobs, {}, raw))
    networks = config.experiments["corruption_3layer"].networks
    Record("train", "cpu", 2, [kind(networks[0].spec)], work=1e12, seconds=100.0).write("job")
    chain = max(whole.work(n.spec) + (whole.work(n.pretraining) if n.pretraining else 0) for n in networks)
    assert whole.left("cpu").seconds == pytest.approx(chain / 1e10 + 8)


def test_other_jobs_count_as_long_as_those_of_their_kind_took(raw: dict, workdir: Path) -> None:
    before = workdir / "results/other/benchmarks/figures"
    before.mkdir(parents=True)
    for name, seconds in {"fig01": 2.0, "fig02": 4.0}.items():
        (before / f"{name}.tsv").write_text(f"s\th:m:s\n{seconds}\t0:00:02\n")
    files = [f"results/paper/benchmarks/figures/fig0{k}.tsv" for k in (1, 2, 3)]
    whole = Whole(load_config(raw), Started(time.time(), 2, ["all"], [], {"figures": files}, raw))
    assert whole.left("cpu").seconds == pytest.approx(3 * 3.0 / 2) and whole.left("cpu").jobs == 3
    (workdir / files[0]).parent.mkdir(parents=True)
    (workdir / files[0]).write_text("s\th:m:s\n3.0\t0:00:03\n")  # as Snakemake does when the job has ended
    assert whole.left("cpu").seconds == pytest.approx(2 * 3.0 / 2) and whole.left("cpu").jobs == 2


def test_the_nearest_job_tells_the_speed() -> None:
    spec = small_spec()
    wide = replace(spec, architecture=replace(spec.architecture, widths=(99, 99)))
    residual = replace(spec, architecture=replace(spec.architecture, builder="resnet", widths=()))
    same = Record("a", "cpu", 1, [kind(spec)], work=100.0, seconds=10.0, ended=True)
    other = Record("b", "cpu", 2, [kind(residual)], work=900.0, seconds=10.0, ended=True)
    speeds = Speeds([same, other], "cpu")
    assert (speeds.of(spec), speeds.of(wide), speeds.of(residual)) == (10.0, 10.0, 90.0)
    assert speeds.of(replace(spec, architecture=replace(spec.architecture, builder="five_layer"))) == 50.0
    assert speeds.basis == "at the speed of 2 training jobs here"
    now = Record("c", "cpu", 1, [kind(spec)], work=70.0, seconds=10.0, updated=time.time())
    assert Speeds([same, other, now], "cpu").of(spec) == 7.0
    assert Speeds([same, other], "cuda").of(spec) is None


def test_work_grows_with_what_is_computed(tmp_path: Path) -> None:
    spec = small_spec(epochs=10)
    assert work(replace(spec, epochs=20), FORM) == pytest.approx(2 * work(spec, FORM), rel=0.1)
    assert work(replace(spec, batch_size=10), FORM) > work(spec, FORM)
    assert work(spec, (32, 3, 50_000)) > work(spec, FORM)
    assert work(replace(spec, stop="until_zero_train_error", max_epochs=500), FORM) == work(spec, FORM)
    np.savez(tmp_path / "own.npz", train_x=np.zeros((30, 12, 12, 3), np.uint8), train_y=np.zeros(30))
    npz = {"source": "npz", "path": "own.npz"}
    assert form_of(npz, [tmp_path / "missing.npz", tmp_path / "own.npz"]) == (12, 3, 30)
    (tmp_path / "text.npz").write_text("no archive")
    assert form_of(npz, [tmp_path / "text.npz"]) == UNKNOWN
    assert form_of({"source": "mnist"}, []) == (28, 1, 60_000)


# ---------------------------------------------------------------- the lines of a job


def said(spec: object, report: EpochReport, capsys: pytest.CaptureFixture) -> str:
    progress = Progress("train x", [spec], 0, every=0.0)
    progress.epoch(report)
    progress.end()
    return capsys.readouterr().err.splitlines()[0]


def test_only_who_goes_on_until_zero_training_error_says_so(workdir: Path, capsys: pytest.CaptureFixture) -> None:
    fixed = small_spec(epochs=3)
    assert said(fixed, EpochReport(fixed, 3, 0.5, 0.1), capsys).endswith("error 0.100, nearly done")
    until = replace(fixed, stop="until_zero_train_error", max_epochs=9)
    assert said(until, EpochReport(until, 4, 0.5, 0.1), capsys).endswith("going on until zero training error")
    assert said(until, EpochReport(until, 3, 0.1, 0.0), capsys).endswith("nearly done")
    assert said(until, EpochReport(until, 9, 0.5, 0.1), capsys).endswith("nearly done")


def test_training_goes_on_where_its_record_cannot_be_written(workdir: Path, raw: dict) -> None:
    (workdir / "results/cache").mkdir(parents=True)
    (workdir / "results/cache/jobs").write_text("a file in the folder's place")
    Record("train", "cpu", 1, [], work=1.0, seconds=1.0).write("job")
    Started(0.0, 2, [], [], {}, raw).write("paper")
    assert json.loads((workdir / "results/paper/logs/started.json").read_text())["cores"] == 2
    (workdir / "results/paper/logs/started.json").write_text("{")
    assert Started.read("paper") is None
