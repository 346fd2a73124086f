"""The workflow as a user runs it: real Snakemake, real (tiny) trainings, in a copy of the project."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from workspace import RUN, TINY, Workspace, fresh, use_npz, use_own_digits

from puzzles.config.configuration import load_config_files
from puzzles.data.dataset import write_npz


@pytest.fixture
def empty(tmp_path: Path) -> Workspace:
    return fresh(tmp_path / "project")


def test_a_finished_run_is_complete_and_has_nothing_left_to_do(run_once: Workspace) -> None:
    run = run_once.folder / RUN
    expected = [
        "report.html",
        "tables/networks.csv",
        "tables/fits.csv",
        "tables/scorecard.csv",
        "trained/init_3layer.safetensors",
    ]
    expected += [f"figures/{name}.{kind}" for name in ("fig02", "fig10", "fig14") for kind in ("png", "pdf", "svg")]
    expected += [f"pretrained/{name}.safetensors" for name in ("corruption_3layer", "corruption_3layer_fixed_loss")]
    for name in expected:
        assert (run / name).stat().st_size > 0, name
    assert len(run_once.networks()) == 4 + 2 + 3  # the experiments of Figures 10 and 13 share theirs
    assert "Nothing to be done" in run_once.snakemake("-n")


def test_one_more_std_trains_exactly_one_network(finished: Workspace) -> None:
    before = finished.networks()
    finished.change("experiments.init_3layer.sweep.values", [0.1, 0.15, 0.2, 0.25])
    finished.snakemake()
    after = finished.networks()
    assert len(set(after) - set(before)) == 1
    assert {name: after[name] for name in before} == before


def test_a_figures_entry_changes_one_figure_and_the_report(finished: Workspace) -> None:
    finished.change("figures.fig02", {"title": "Another title"})
    assert finished.planned() == {"figure": 1, "write_report": 1}


def test_the_plot_module_changes_figures_only(finished: Workspace) -> None:
    module = finished.folder / "workflow/puzzles/output/axes.py"
    before = module.read_text()
    module.write_text(before.replace('ax.set_title(title, loc="left")', "ax.set_title(title)"))
    assert module.read_text() != before
    assert finished.planned() == {"figure": 3, "write_report": 1}
    before = finished.networks()
    finished.snakemake()
    assert finished.networks() == before


def test_a_comment_in_the_plot_module_changes_nothing(finished: Workspace) -> None:
    module = finished.folder / "workflow/puzzles/output/plots.py"
    module.write_text(module.read_text() + "\n# a remark\n")
    assert finished.planned() == {}


def test_the_scorecard_alone_draws_nothing(finished: Workspace) -> None:
    claims = finished.folder / "workflow/claims.yaml"
    claims.write_text(claims.read_text().replace("at_most: 1.0e-5", "at_most: 1.0e-4"))
    assert finished.planned("tables") == {"judge": 1}
    assert finished.planned() == {"judge": 1, "write_report": 1}


def test_the_whole_paper_is_planned_within_seconds(empty: Workspace) -> None:
    """Of a processor: how long it takes depends on what else the machine does."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = empty.planned("--config", "run={name: paper, experiments: all}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 30
    assert (jobs["train"], jobs["figure"], jobs["write_report"]) == (11, 24 - 7, 1)  # the overlay leaves out seven


def test_a_finished_run_can_be_published_and_drawn_again(finished: Workspace) -> None:
    command = [sys.executable, "-m", "puzzles.output.published"]
    environment = {**os.environ, "PYTHONPATH": "workflow"}
    for arguments in (["publish", "tiny"], ["redraw"]):
        subprocess.run([*command, *arguments], cwd=finished.folder, env=environment, check=True, capture_output=True)
    for path in sorted((finished.folder / RUN / "figures").glob("*.png")):
        assert (finished.folder / f"{RUN}-redrawn/figures/{path.name}").read_bytes() == path.read_bytes()
    assert (finished.folder / f"{RUN}-redrawn/report.html").stat().st_size > 10_000
    specs = (finished.folder / "results/reference/tiny/specs.json").read_text()
    settings = finished.folder / "results/reference/tiny/config.yaml"
    assert "data_dir" not in settings.read_text()
    again = load_config_files(finished.folder / "config.yaml", settings)  # what the overlay has removed is not back
    trained = {n.spec.hash for e in again.experiments.values() for n in (*e.networks, *e.pretrainings)}
    assert {f"{key}.safetensors" for key in trained} == set(finished.networks())
    assert all(name.removesuffix(".safetensors") in specs for name in finished.networks())


def test_published_weights_are_measured_again_to_the_same_bytes(finished: Workspace) -> None:
    published = finished.folder / "results/reference/tiny"

    def run(*arguments: str, ok: bool = True) -> str:
        command = [sys.executable, "-m", "puzzles.output.published", *arguments]
        environment = {**os.environ, "PYTHONPATH": "workflow"}
        done = subprocess.run(command, cwd=finished.folder, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == ok, done.stderr
        return done.stderr

    run("publish", "tiny")
    assert "expected published weights" in run("measure", "tiny", ok=False)
    run("publish", "tiny", "--weights")
    before = {p.relative_to(published): p.read_bytes() for p in published.rglob("*.csv")}
    for name in ("measurements/init_3layer.csv", "tables/fits.csv", "correct/init_3layer.npz"):
        (published / name).unlink()
    for folder in ("results/tiny", "results/cache", "results/data"):  # nothing is trained, the digits are fetched again
        shutil.rmtree(finished.folder / folder)
    run("measure", "tiny")
    assert {p.relative_to(published): p.read_bytes() for p in published.rglob("*.csv")} == before
    assert not (finished.folder / "results/cache").exists()
    record = published / "provenance.json"
    provenance = json.loads(record.read_text())
    assert provenance["measured"]["experiments"] == TINY["run"]["experiments"]
    trained = {name: [part["engines"] for part in parts] for name, parts in provenance["trained_by"].items()}
    assert trained == {name: [["loop on cpu"]] for name in TINY["run"]["experiments"]}
    provenance["datasets"][0]["train"]["sha256"] = "0" * 64
    record.write_text(json.dumps(provenance))
    assert "found a train set of digits with sha256" in run("measure", "tiny", ok=False)


def test_a_published_experiment_is_taken_over_when_every_network_is_the_same(finished: Workspace) -> None:
    command = [sys.executable, "-m", "puzzles.output.published", "publish", "tiny"]
    subprocess.run(command, cwd=finished.folder, env={**os.environ, "PYTHONPATH": "workflow"}, check=True)
    before = finished.tables()
    for folder in ("results/cache", "results/tiny"):
        shutil.rmtree(finished.folder / folder)
    finished.change("reuse", "reference")
    assert "train" not in finished.planned()
    older = finished.folder / "results/reference/tiny/rescaled/init_3layer.csv"
    older.rename(older.with_suffix(".aside"))  # as a run published before there was such a table
    assert finished.planned()["train"] == 1
    older.with_suffix(".aside").rename(older)
    finished.snakemake()
    assert finished.networks() == {}
    assert finished.tables() == before
    assert "Taken over from published runs" in (finished.folder / RUN / "report.html").read_text()
    shutil.rmtree(finished.folder / RUN)
    finished.change("experiments.init_3layer.network.epochs", 6)  # other networks
    planned = finished.planned()
    assert (planned["train"], planned["reuse"]) == (1, 2)
    finished.change("experiments.corruption_3layer.norms", ["l2"])  # other measurements
    planned = finished.planned()
    assert (planned["train"], planned["reuse"]) == (2, 1)


def test_a_published_experiment_on_other_data_is_refused(finished: Workspace) -> None:
    command = [sys.executable, "-m", "puzzles.output.published", "publish", "tiny"]
    subprocess.run(command, cwd=finished.folder, env={**os.environ, "PYTHONPATH": "workflow"}, check=True)
    records = finished.folder / "results/reference/tiny/provenance.json"
    other = json.loads(records.read_text())
    other["datasets"][0]["test"]["sha256"] = "0" * 64
    records.write_text(json.dumps(other))
    finished.change("reuse", "reference")
    shutil.rmtree(finished.folder / RUN / "measurements")
    assert "found a test set of digits with sha256" in finished.snakemake(ok=False)


def test_one_figure_needs_its_experiment_only(empty: Workspace) -> None:
    plan = {"download": 1, "pretrain": 1, "train": 1, "measure": 1, "analyse": 1, "figure": 1}
    assert empty.planned("fig10") == plan
    assert "init_3layer" not in empty.snakemake("-n", "fig10")


def test_other_epochs_train_that_experiment_only(finished: Workspace) -> None:
    before = finished.networks()
    finished.change("experiments.init_3layer.network.epochs", 6)
    jobs = finished.planned()
    assert jobs["train"] == jobs["measure"] == 1
    assert "pretrain" not in jobs
    finished.snakemake()
    after = finished.networks()
    assert len(set(after) - set(before)) == 4
    assert {name: after[name] for name in before} == before


def test_without_the_cache_only_time_is_lost(finished: Workspace) -> None:
    before = finished.tables()
    shutil.rmtree(finished.folder / "results/cache")
    shutil.rmtree(finished.folder / RUN / "trained")
    finished.snakemake("--forceall", "tables")
    assert finished.tables() == before


def test_shards_change_no_number(finished: Workspace) -> None:
    before = finished.tables()
    shutil.rmtree(finished.folder / "results/cache")
    finished.change("experiments.init_3layer.shards", 3)
    output = finished.snakemake("--forceall", f"{RUN}/tables/fits/init_3layer.csv")
    assert len(re.findall(r"training shard \d of init_3layer", output)) == 3
    assert finished.tables() == before


def kill_tree(process: subprocess.Popen) -> None:
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for member in family:
        member.kill()
    psutil.wait_procs(family, 10)
    process.wait(10)


def test_killed_in_the_middle_the_same_command_finishes_with_the_same_tables(empty: Workspace) -> None:
    empty.change("run.experiments", ["init_3layer"])
    empty.change("experiments.init_3layer.network.epochs", 100)
    empty.change("experiments.init_3layer.network.max_epochs", 100)
    empty.change("experiments.init_3layer.sweep.values", [0.1, 0.12, 0.15, 0.18, 0.2])
    undisturbed = Workspace(empty.folder.parent / "undisturbed")
    shutil.copytree(empty.folder, undisturbed.folder)

    process = subprocess.Popen(empty.command(), cwd=empty.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoints = empty.folder / "results/cache/checkpoints"
    deadline = time.monotonic() + 400
    # some networks are finished, others in the middle of their training
    while not (len(empty.networks()) >= 2 and list(checkpoints.glob("[!.]*.pt"))):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kill_tree(process)
    saved = empty.networks()
    assert saved
    assert not (empty.folder / RUN / "report.html").exists()

    output = empty.snakemake()
    assert "its lock is removed" in output
    after = empty.networks()
    assert {name: after[name] for name in saved} == saved  # no finished network was trained again
    undisturbed.snakemake()
    assert empty.tables() == undisturbed.tables()
    assert set(undisturbed.networks()) == set(after)
    assert list(checkpoints.iterdir()) == []
    assert not list(empty.folder.glob("results/cache/**/.partial-*"))


def test_an_interrupt_of_snakemake_alone_ends_its_jobs_soon(finished: Workspace) -> None:
    """``kill -INT``, as a job manager does it: not the whole group, as Ctrl-C in a terminal."""
    for key in ("epochs", "max_epochs"):
        finished.change(f"experiments.init_3layer.network.{key}", 100_000)
    command = finished.command(f"{RUN}/trained/init_3layer.safetensors")
    process = subprocess.Popen(
        command,
        cwd=finished.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
    )
    checkpoints = finished.folder / "results/cache/checkpoints"
    while not list(checkpoints.glob("[!.]*.pt")):
        assert process.poll() is None
        time.sleep(0.02)
    jobs = psutil.Process(process.pid).children(recursive=True)
    assert any(".snakemake/scripts" in " ".join(job.cmdline()) for job in jobs)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)  # hours, if it waited for the training
    assert process.returncode != 0
    assert psutil.wait_procs(jobs, 10)[1] == []
    for key in ("epochs", "max_epochs"):
        finished.change(f"experiments.init_3layer.network.{key}", 5)
    finished.snakemake()  # no lock is left


def test_a_damaged_table_is_named_where_it_is_read(finished: Workspace) -> None:
    """Not half of it fitted, and not silently; deleted, it is made again as it was."""
    table = finished.folder / RUN / "measurements/init_3layer.csv"
    whole, before = table.read_bytes(), finished.tables()
    table.write_bytes(b"".join(whole.splitlines(keepends=True)[: whole.count(b"\n") // 2]))
    (finished.folder / RUN / "tables/fits/init_3layer.csv").unlink()
    output = finished.snakemake("tables", ok=False)
    said = f"{RUN}/measurements/init_3layer.csv: damaged or edited (its checksum does not hold); delete it"
    assert output.splitlines()[-1].startswith(said)  # after all that Snakemake says
    assert output.splitlines()[-1].endswith(f"(log: {RUN}/logs/analyse/init_3layer.log)")
    table.unlink()
    finished.snakemake("tables")
    assert finished.tables() == before


def test_files_that_a_clock_has_dated_ahead_hold_nothing_up(finished: Workspace) -> None:
    before = finished.tables()
    for file in (finished.folder / "results").rglob("*"):
        os.utime(file, (time.time() + 1e7,) * 2)
    shutil.rmtree(finished.folder / RUN / "measurements")  # made from files that are dated ahead of it
    assert "were dated up to 2777.8 hours ahead; dated now" in finished.snakemake("tables")
    assert finished.tables() == before


def test_two_runs_at_once_are_refused_not_mixed(finished: Workspace) -> None:
    finished.change("experiments.init_3layer.network.epochs", 100)
    finished.change("experiments.init_3layer.network.max_epochs", 100)
    command = finished.command("fig02")
    process = subprocess.Popen(command, cwd=finished.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not list((finished.folder / ".snakemake/locks").glob("*")):
        assert process.poll() is None
        time.sleep(0.02)
    second = finished.snakemake(ok=False)
    assert "cannot be locked" in second
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors.decode()


def test_a_broken_config_is_one_line_and_touches_nothing(finished: Workspace) -> None:
    before = finished.tables()
    finished.change("experiments.init_3layer.network.lr", -1)
    output = finished.snakemake(ok=False)
    lines = [line for line in output.splitlines() if "lr" in line]
    assert lines == ["config: experiments.init_3layer.network.lr: found -1, expected more than 0"]
    assert "Traceback" not in output
    assert finished.tables() == before


def test_a_users_npz_gets_the_whole_analysis(empty: Workspace, tmp_path: Path) -> None:
    dataset = use_own_digits(empty, tmp_path / "own" / "my.npz")
    empty.snakemake("fig02")
    assert (empty.folder / RUN / "figures/fig02.png").exists()
    assert (empty.folder / "results/data/mine.npz").exists()
    assert empty.planned("fig02") == {}
    write_npz(replace(dataset, test_y=dataset.test_y[::-1]), tmp_path / "own" / "my.npz")
    assert empty.planned("fig02")["download"] == 1  # other data of the same name are noticed


def test_a_broken_npz_is_one_line_and_leaves_no_partial_file(empty: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "own" / "my.npz"
    path.parent.mkdir()
    np.savez(path, train_x=np.zeros((4, 8, 8), np.float32), train_y=np.arange(4))
    use_npz(empty, path)
    output = empty.snakemake("fig02", ok=False)
    assert f"{path}: test_x is missing" in output
    assert "Traceback" not in output
    assert list((empty.folder / "results/data").glob("*mine*")) == []


def test_the_progress_of_a_run_can_be_read_in_its_log(run_once: Workspace) -> None:
    log = (run_once.folder / RUN / "logs/train/init_3layer.log").read_text()
    assert "train init_3layer: 0 of 4 networks are in the cache, training 4" in log
    assert "train init_3layer: 4/4 networks" in log


def test_tables_say_nothing_of_when_or_where(run_once: Workspace) -> None:
    text = b"\n".join(run_once.tables().values()).decode()
    assert os.uname().nodename not in text
    assert not re.search(r"20\d\d-\d\d-\d\d|seconds|duration", text)
