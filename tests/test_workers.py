"""Worker processes of a training job: the same bits as one process, and nobody outlives the job."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from conftest import ROOT

# in processes of their own: a process that has trained cannot be forked any more
SCRIPT = """
import sys
sys.path[:0] = [{library!r}, {tests!r}]
from conftest import small_spec
from puzzles.config.specs import Select
from puzzles.data import download
from puzzles.training.missing import train_missing

digits = download.fetch("digits", {{"source": "digits"}}, download.Fetch())[0]
specs = [small_spec(seed=seed, epochs={epochs}) for seed in range(5)]
requests = {{spec.hash: (spec, [Select("last")]) for spec in specs}}
train_missing("t", requests, digits, {{}}, {{"device": "cpu", "checkpoint_seconds": 0.2}}, processes={processes})
"""


def start(folder: Path, processes: int, epochs: int = 3) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    library, tests = str(ROOT / "workflow"), str(ROOT / "tests")
    script = SCRIPT.format(library=library, tests=tests, epochs=epochs, processes=processes)
    return subprocess.Popen([sys.executable, "-c", script], cwd=folder, stderr=subprocess.PIPE, text=True)


def entries(folder: Path) -> dict[str, tuple[dict, bytes]]:
    """What the cache holds: headers, whose two texts safetensors writes in any order, and weights."""
    found = {}
    for path in (folder / "results/cache/networks").glob("*.safetensors"):
        content = path.read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        found[path.name] = (json.loads(content[8:end]), content[end:])
    return found


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def test_two_processes_write_what_one_writes_to_the_bit(tmp_path: Path) -> None:
    jobs = [start(tmp_path / str(count), count) for count in (1, 2, 9)]  # nine: more than there are networks
    messages = [job.communicate(timeout=120)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0], messages
    assert len(entries(tmp_path / "1")) == 5
    assert entries(tmp_path / "1") == entries(tmp_path / "2") == entries(tmp_path / "9")
    assert "5/5 networks" in messages[1]
    assert "in 2 processes" in messages[1]
    assert "in 5 processes" in messages[2]


@pytest.fixture
def long_job(tmp_path: Path) -> subprocess.Popen:
    job = start(tmp_path / "long", processes=2, epochs=100_000)
    wait_for(lambda: len(psutil.Process(job.pid).children()) == 2 and list(tmp_path.rglob("[!.]*.pt")))
    return job


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_job_however_it_ends(long_job: subprocess.Popen, how: signal.Signals) -> None:
    workers = psutil.Process(long_job.pid).children()
    long_job.send_signal(how)
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert (len(gone), alive) == (2, [])
    long_job.wait(20)


def test_a_worker_that_is_killed_ends_the_job_with_a_line_that_says_so(long_job: subprocess.Popen) -> None:
    first, second = psutil.Process(long_job.pid).children()
    first.kill()
    _, message = long_job.communicate(timeout=30)
    assert long_job.returncode != 0
    assert "TrainingError: a training process ended with SIGKILL (too little memory, most likely)" in message
    assert not second.is_running()
