"""A job that has failed once, or a file that was lost: the same command makes it again, whatever the target."""

import shutil
from pathlib import Path

import pytest
from conftest import ROOT
from workspace import RUN, Workspace, fresh, use_own_digits

KILLER = """
import os, signal, sys
script = os.environ.get("KILL", "")
if script and any(argument.endswith(f".{script}.py") for argument in sys.orig_argv):
    os.kill(os.getpid(), signal.SIGKILL)
"""
# the script of each kind of job, in the order of the pipeline, with the targets that rest on it
JOBS = {
    "download": ("all", "fig10"),
    "pretrain": ("tables", "fig10"),
    "train": ("all", "fig10"),
    "measure": ("all", "tables", "fig10"),
    "analyse": ("tables", "fig10"),
    "aggregate": ("all", "tables"),
    "judge": ("all", "scorecard"),
    "figure": ("figures", "fig10"),
    "write_report": ("all", "report"),
}
OUTPUTS = [
    "figures/fig02.png",
    "figures/fig10.pdf",
    "families/init_3layer.csv",
    "correct/init_3layer.npz",
]
OUTPUTS += ["tables/ranks.csv", "tables/fits/init_3layer.csv", "trained/init_3layer.safetensors", "specs.json"]


def test_each_kind_of_job_killed_once_after_a_change_runs_again(
    finished: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")} == {*JOBS, "train_shard", "reuse"}
    (tmp_path / "killer").mkdir()
    (tmp_path / "killer/sitecustomize.py").write_text(KILLER)
    for experiment in ("corruption_3layer", "corruption_3layer_fixed_loss"):
        finished.change(f"experiments.{experiment}.network.epochs", 3)
        finished.change(f"experiments.{experiment}.pretrain.epochs", 4)
    (finished.folder / "results/data/digits.npz").unlink()
    undisturbed = Workspace(tmp_path / "undisturbed")
    shutil.copytree(finished.folder, undisturbed.folder)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "killer"))
    for job, targets in JOBS.items():
        if job == "figure":  # drawn while other jobs failed
            for workspace in (finished, undisturbed):
                workspace.change("figures.fig10", {"title": "Another title"})
        monkeypatch.setenv("KILL", job)
        finished.snakemake(ok=False)
        monkeypatch.delenv("KILL")
        for target in targets:
            planned = finished.planned(target)
            assert planned.get(job), f"{job} was killed; `snakemake {target}` plans only {planned}"
    finished.snakemake()
    undisturbed.snakemake()
    assert finished.tables() == undisturbed.tables()
    pictures = [path.relative_to(finished.folder) for path in (finished.folder / RUN / "figures").glob("*.p*")]
    assert len(pictures) == 6
    for path in pictures:
        assert (finished.folder / path).read_bytes() == (undisturbed.folder / path).read_bytes()


def test_whatever_a_user_sees_is_made_again_when_it_is_lost(finished: Workspace) -> None:
    before = finished.tables()
    for name in OUTPUTS:
        path, aside = finished.folder / RUN / name, finished.folder / "aside"
        path.rename(aside)
        assert finished.planned(), f"{name} is gone, and nothing is planned"
        aside.rename(path)
    for name in OUTPUTS:
        (finished.folder / RUN / name).unlink()
    networks = finished.networks()
    finished.snakemake()
    assert all((finished.folder / RUN / name).exists() for name in OUTPUTS)
    assert finished.networks() == networks  # from the cache: nothing was trained
    assert finished.tables() == before


def test_a_replaced_data_file_that_is_broken_is_reported_every_time(tmp_path: Path) -> None:
    workspace = fresh(tmp_path / "project")
    own = tmp_path / "own" / "my.npz"
    use_own_digits(workspace, own)
    workspace.snakemake("fig02")
    own.write_bytes(own.read_bytes()[:1000])
    for _ in range(2):
        assert f"{own}: damaged, or no npz file" in workspace.snakemake("fig02", ok=False)
