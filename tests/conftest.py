"""Shared by the tests: small real data, small real networks."""

import json
import os
import shutil
import typing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from threadpoolctl import threadpool_limits

from puzzles.config.specs import Architecture, NetworkSpec
from puzzles.data import download
from puzzles.data.dataset import Dataset

if typing.TYPE_CHECKING:
    from workspace import Workspace

ROOT = Path(__file__).parent.parent
PUBLISHED = sorted(path.parent.name for path in ROOT.glob("results/reference/[!.]*/config.yaml"))

torch.set_num_threads(1)  # as in a job: bits are compared
threadpool_limits(1)  # numpy's threads would only wait for each other: tests run on every core already
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # of what tests start

# they take as long as all the others together: whoever runs tests in several processes begins with them
SLOWEST = {"test_workflow", "test_lost_outputs"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in SLOWEST)


@pytest.fixture
def raw() -> dict:
    """The paper's configuration, free to be broken: what experiments share by YAML's aliases is copied for each."""
    return json.loads(json.dumps(yaml.safe_load((ROOT / "config.yaml").read_text())))


# nothing is skipped for each test: one in test_stacked.py is, and says what is missing
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Where engines are compared; on a GPU without TF32, which differs in the fourth digit."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    if request.param == "cuda":
        convolutions.allow_tf32 = products.allow_tf32 = False
    yield torch.device(request.param)
    if request.param == "cuda":
        convolutions.allow_tf32, products.allow_tf32 = before


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return download.fetch("digits", {"source": "digits"}, download.Fetch())[0]


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory: the cache is below it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder with real data in torchvision's layout, if PUZZLES_DATA_DIR names one."""
    folder = Path(os.environ.get("PUZZLES_DATA_DIR", ""))
    if not (folder / "MNIST" / "raw").is_dir():
        pytest.skip("PUZZLES_DATA_DIR names no folder with MNIST/raw: set it to one with MNIST's four archives in there")
    return folder


SMALL = Architecture("conv", (6, 6), kernel=3, stride=2, padding=1, bias="first")


def small_spec(**changes: object) -> NetworkSpec:
    """A network that trains in a fraction of a second on the digits."""
    spec = NetworkSpec("digits", SMALL, train_size=300, batch_size=50, lr=0.05, epochs=3)
    return replace(spec, **changes)


@pytest.fixture(scope="session")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> "Workspace":
    """A finished run, not to be changed."""
    from workspace import finished_once

    return finished_once(tmp_path_factory)


@pytest.fixture
def finished(run_once: "Workspace", tmp_path: Path) -> "Workspace":
    """A copy of a finished run, times included."""
    shutil.copytree(run_once.folder, tmp_path / "project")
    return type(run_once)(tmp_path / "project")
