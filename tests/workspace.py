"""A copy of the project in which real Snakemake runs, with tiny trainings."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from filelock import FileLock

from puzzles.data import download
from puzzles.data.dataset import Dataset, write_npz

PROJECT = ["Snakefile", "config.yaml", "workflow", "profiles", "envs"]
RUN = "results/tiny"
CORRUPTION = {
    "network": {"dataset": "digits", "train_size": 200, "batch_size": 20, "epochs": 4},
    "pretrain": {"batch_size": 20, "epochs": 2, "evaluate_every": 2},
    "sweep": {"values": [0.1, 0.5]},
    "seeds": [0],
    "groups": {"natural": {"network": {"batch_size": 20}}},
}
TINY = {
    "run": {"name": "tiny", "experiments": ["init_3layer", "corruption_3layer", "corruption_3layer_fixed_loss"]},
    "runtime": {"population": 2, "checkpoint_seconds": 0},
    "architectures": {
        "conv3_64": {"widths": [6, 6]},
        "conv3_24": {"widths": [6, 6], "kernel": 3},
    },
    "experiments": {
        "init_3layer": {
            "network": {
                "dataset": "digits", "input_mean": None, "input_std": None, "train_size": 200, "batch_size": 20, "lr": 0.05,
                "lr_milestones": None, "epochs": 5, "max_epochs": 40,
            },
            "sweep": {"values": [0.1, 0.15, 0.2]},
            "groups": {
                "large_std": None,
                "random_labels": {"values": [0.2], "network": {"lr_milestones": None, "max_epochs": None}},
            },
        },
        "corruption_3layer": CORRUPTION,
        "corruption_3layer_fixed_loss": CORRUPTION,
    },
    "figures": dict.fromkeys(["fig04", "fig09", "fig13", "figJ", "figL", "figM", "figR"]),
}  # fmt: skip


class Workspace:
    """A copy of the project with an overlay of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def change(self, path: str, value: object) -> None:
        overlay = self.overlay()
        *parents, last = path.split(".")
        node = overlay
        for key in parents:
            node = node.setdefault(key, {})
        node[last] = value
        self.write(overlay)

    def overlay(self) -> dict:
        return yaml.safe_load((self.folder / "tiny.yaml").read_text())

    def write(self, overlay: dict) -> None:
        plain = json.loads(json.dumps(overlay))  # no aliases: a change is to one experiment
        (self.folder / "tiny.yaml").write_text(yaml.safe_dump(plain))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--configfile", "tiny.yaml", "--cores", "2", *arguments]

    def snakemake(self, *arguments: str, ok: bool = True) -> str:
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=400, check=False
        )
        output = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, output
        return output

    def planned(self, *targets: str) -> dict[str, int]:
        """The jobs that a dry run plans, by rule."""
        output = self.snakemake("-n", *targets)
        counts = dict(re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE))
        return {rule: int(count) for rule, count in counts.items() if rule not in ("total", "all", *targets)}

    def networks(self) -> dict[str, int]:
        """The cached networks and when each was written."""
        return {p.name: p.stat().st_mtime_ns for p in (self.folder / "results/cache/networks").glob("[!.]*.safetensors")}

    def tables(self) -> dict[str, bytes]:
        run = self.folder / RUN
        return {str(p.relative_to(run)): p.read_bytes() for p in sorted(run.rglob("*.csv"))}


def fresh(folder: Path) -> Workspace:
    folder.mkdir(parents=True)
    for name in PROJECT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, folder / name)
    workspace = Workspace(folder)
    workspace.write(TINY)
    return workspace


def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A finished run that test processes share: the first that asks for it makes it, nobody changes it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    with FileLock(f"{folder}.lock"):
        if not (folder / "whole").exists():
            fresh(folder / "project").snakemake()
            (folder / "whole").touch()
    return Workspace(folder / "project")


def use_npz(workspace: Workspace, path: Path) -> None:
    """Let one experiment read a file of the user's."""
    workspace.change("data_dir", str(path.parent))
    workspace.change("datasets.mine", {"source": "npz", "path": path.name})
    workspace.change("experiments.init_3layer.network.dataset", "mine")


def use_own_digits(workspace: Workspace, path: Path) -> Dataset:
    """The digits as a file of the user's, which one experiment reads."""
    dataset, _ = download.fetch("digits", {"source": "digits"}, download.Fetch())
    write_npz(dataset, workspace.folder / path)
    use_npz(workspace, path)
    return dataset


def flip_a_bit(path: Path, place: int = -20, bit: int = 0) -> None:
    """Change one bit of a file, write-protected or not."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.chmod(0o644)
    path.write_bytes(bytes(content))
