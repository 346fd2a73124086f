"""Finished and published runs are what they were written as; space is shown and freed without touching what others need."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PUBLISHED, ROOT
from rocrate.rocrate import ROCrate
from workspace import RUN, Workspace

from puzzles.base.errors import ResultsError
from puzzles.output import crate, upkeep
from puzzles.output.provenance import commit


@pytest.fixture
def run(finished: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(finished.folder)
    return Path(RUN)


def test_published_runs_are_as_they_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name in PUBLISHED:
        assert [line for line in upkeep.verify(name) if line.startswith("results/reference/")] == []


def test_a_commit_is_dirty_where_something_but_results_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert commit() == "unknown"
    code, table = tmp_path / "code.py", tmp_path / "results" / "reference" / "table.csv"
    table.parent.mkdir(parents=True)
    for file in (code, table):
        file.write_text("1\n")
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "first")):
        subprocess.run(["git", *command], check=True)
    clean = commit()
    assert len(clean) == 7
    table.write_text("2\n")
    assert commit() == clean
    code.write_text("2\n")
    assert commit() == f"{clean}-dirty"


def test_what_was_changed_is_named(run: Path) -> None:
    assert upkeep.verify("tiny") == []
    checked = subprocess.run(["sha256sum", "--check", "--quiet", "checksums.txt"], cwd=run, check=False)
    assert checked.returncode == 0
    weights = run / "trained" / "init_3layer.safetensors"
    content = bytearray(weights.read_bytes())
    content[-9] ^= 1
    weights.write_bytes(bytes(content))
    (run / "figures" / "fig10.png").unlink()
    (run / "tables" / "mine.csv").write_text("a\n1\n")
    specs = json.loads((run / "specs.json").read_text())
    name, spec = next(iter(specs["init_3layer"].items()))
    spec["lr"] = 0.5
    (run / "specs.json").write_text(json.dumps(specs))
    found = "\n".join(upkeep.verify("tiny"))
    assert f"{run}: trained/init_3layer.safetensors is not as it was written" in found
    assert f"{weights}: damaged" in found
    assert f"{run}: figures/fig10.png is missing" in found
    assert f"{run}: tables/mine.csv was added since" in found
    assert f"{run}: specs.json: init_3layer: {name} is not what config.yaml describes" in found
    assert len(found.splitlines()) == 6  # and specs.json is not as it was written
    command = [sys.executable, "-m", "puzzles.output.upkeep", "verify", "tiny"]
    done = subprocess.run(command, env={"PYTHONPATH": "workflow"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (1, found)


def test_weights_of_other_networks_are_named(run: Path) -> None:
    shutil.copy(run / "trained" / "corruption_3layer.safetensors", run / "trained" / "init_3layer.safetensors")
    assert any(line.endswith("holds other networks than config.yaml describes") for line in upkeep.verify("tiny"))


def test_an_unfinished_run_is_said(run: Path) -> None:
    (run / "checksums.txt").unlink()
    assert upkeep.verify("tiny") == [f"{run}: no checksums.txt: not finished, or made by an earlier version"]
    with pytest.raises(ResultsError, match=r"found no run of this name, expected one of: .*tiny"):
        upkeep.verify("nono")


def test_only_what_no_run_has_is_pruned(run: Path, finished: Workspace) -> None:
    networks = set(finished.networks())
    shutil.copytree(run, "results/other")
    assert upkeep.prune() == []
    specs = json.loads((run / "specs.json").read_text())
    of_init = {network["hash"] for network in specs["init_3layer"].values()}
    for name in ("tiny", "other"):
        path = Path("results") / name / "specs.json"
        path.write_text(json.dumps({k: v for k, v in specs.items() if name == "other" or k != "init_3layer"}))
    assert upkeep.prune() == []  # the other run has them
    upkeep.clean("other")
    assert not Path("results/other").exists()
    assert {path.stem for path in upkeep.prune()} == of_init
    assert set(finished.networks()) == networks - {f"{name}.safetensors" for name in of_init}
    (run / "specs.json").unlink()
    with pytest.raises(ResultsError, match="results/tiny: is not finished"):
        upkeep.prune()
    upkeep.clean("tiny")
    with pytest.raises(ResultsError, match="results/tiny: found no run, expected one of: none yet"):
        upkeep.clean("tiny")


def test_usage_adds_up(run: Path) -> None:
    sizes = dict(upkeep.usage())
    whole = sum(f.stat().st_size for f in Path("results").rglob("*") if f.is_file()) / 1e6
    assert set(sizes) >= {RUN, "results/data", "results/cache/networks"}
    assert 0.9 * whole < sum(sizes.values()) <= whole


def test_a_crate_holds_the_run_and_says_how_it_was_made(run: Path, tmp_path: Path) -> None:
    """Read again by the library: every file is there, and the action names workflow, data, configuration and results."""
    read = ROCrate(crate.write_crate("tiny"))
    (action,) = (e for e in read.get_entities() if e.type == "CreateAction")
    assert action["instrument"] == read.mainEntity
    assert {entity["name"] for entity in action["object"] if entity.type == "Dataset"} == {"digits"}
    results = {entity.id for entity in action["result"]}
    assert {"run/tables/scorecard.csv", "run/figures/fig10.png", "run/measurements/init_3layer.csv"} <= results
    read.write(tmp_path / "unpacked")
    for name in results | {"workflow/Snakefile", "workflow/rules/train.smk", "run/config.yaml"}:
        assert (tmp_path / "unpacked" / name).is_file(), name
    stored = (tmp_path / "unpacked/run/measurements/init_3layer.csv").read_bytes()
    assert stored == (run / "measurements/init_3layer.csv").read_bytes()
    with pytest.raises(ResultsError, match="found no finished run"):
        crate.write_crate("nothing")
