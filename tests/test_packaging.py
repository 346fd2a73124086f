"""`pip install .` gives `import puzzles` with torch alone, and what a type checker needs."""

import ast
import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from packaging.requirements import Requirement

import puzzles

USE = """
import sys, puzzles
assert "torch" not in sys.modules, "import puzzles loads torch before it is used"
import torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).eval()
x, y = torch.randn(6, 4), torch.arange(6) % 3
rho = puzzles.norm_product(model, x, biases="ignore")
loss = puzzles.NormalizedLoss(model, x, biases="ignore")
loss.update(model(x), y)
assert loss.compute() == puzzles.normalized_cross_entropy(model(x), y, rho)
assert puzzles.fold_batchnorm(model, x)(x).shape == (6, 3)
assert len(puzzles.layer_norms(model, x, biases="ignore")) == 2
assert puzzles.output_norm(model, x) > 0
assert puzzles.margin_ratio(1.0, 1.05, 3) < 1
print(puzzles.__file__, *sorted(m for m in ("numpy", "pandas", "torchmetrics", "yaml") if m in sys.modules))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because building leaves folders behind."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, folder / name)
    for name in ("envs", "workflow/puzzles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        ".",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        "out",
        "--quiet",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = (folder / "out").glob("*.whl")
    return built


def torch_and_what_it_needs() -> set[str]:
    """The names of torch's distribution and of all that it requires here."""
    found: set[str] = set()
    waiting = ["torch"]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            requirements = map(Requirement, importlib.metadata.requires(name) or [])
            waiting += [r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture(scope="module")
def only_torch(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site-packages of an environment in which are torch, what it requires, and the wheel."""
    site = tmp_path_factory.mktemp("site")
    for name in torch_and_what_it_needs():
        files = importlib.metadata.files(name) or []
        for top in {file.parts[0] for file in files if ".." not in file.parts}:
            source = Path(str(importlib.metadata.distribution(name).locate_file(top)))
            if source.exists() and not (site / top).exists():
                (site / top).symlink_to(source)
    zipfile.ZipFile(wheel).extractall(site)
    return site


def run(site: Path, code: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-S", "-W", "error::DeprecationWarning", "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_environment_with_torch_alone_has_the_library(only_torch: Path, tmp_path: Path) -> None:
    assert not (only_torch / "numpy").exists()
    assert not (only_torch / "torchmetrics").exists()
    assert run(only_torch, USE, tmp_path) == str(only_torch / "puzzles" / "__init__.py")


def test_the_wheel_asks_for_torch_alone_and_offers_the_pipelines_pins(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "puzzles/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"puzzles"}
    (metadata,) = (name for name in names if name.endswith("/METADATA"))
    lines = zipfile.ZipFile(wheel).read(metadata).decode().splitlines()
    required = [Requirement(line.removeprefix("Requires-Dist: ")) for line in lines if line.startswith("Requires-Dist: ")]
    always = [r.name for r in required if r.marker is None or r.marker.evaluate({"extra": ""})]
    assert always == ["torch"]
    pipeline = {r.name for r in required if r.marker is not None and r.marker.evaluate({"extra": "pipeline"})}
    assert {"snakemake", "pandas", "matplotlib"} <= pipeline


def test_public_names_are_there_lazily() -> None:
    assert sorted(puzzles._MODULES) == puzzles.__all__ == sorted(puzzles.__all__)
    for name in puzzles.__all__:
        value = getattr(puzzles, name)
        assert value.__doc__
        assert name in dir(puzzles)
    with pytest.raises(AttributeError, match="no attribute 'rho'"):
        _ = puzzles.rho


def test_a_type_checker_sees_the_same_names_in_the_same_modules() -> None:
    (block,) = [node for node in ast.parse(Path(puzzles.__file__).read_text()).body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == {name: f"puzzles.{module}" for name, module in puzzles._MODULES.items()}
