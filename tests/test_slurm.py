"""Through a real SLURM: the same bytes as a local run, whatever happens to the jobs.

Where SLURM and its plugin are installed (.ci/run installs both) and root starts the tests; elsewhere they are skipped.
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from slurm_cluster import Cluster, why_not
from workspace import Workspace, fresh

PLUGIN = importlib.util.find_spec("snakemake_executor_plugin_slurm")
pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=f"no SLURM here: {why_not()}"),
    pytest.mark.skipif(PLUGIN is None, reason="no plugin here: pip install --requirement envs/slurm.txt"),
]
# What differs here from a cluster with accounts, many cores and slow file systems.
HERE = [
    "--workflow-profile",
    "profiles/slurm",
    "--slurm-status-command",
    "squeue",
    "--slurm-no-account",
    "--max-threads",
    "1",
]
HERE += ["--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1", "--latency-wait", "5"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with FileLock(Path(tempfile.gettempdir()) / "puzzles-test-slurm.lock"):  # one cluster at a time, whoever runs tests
        started = Cluster(tmp_path_factory.mktemp("slurm"))
        try:
            started.start()
            yield started
        finally:
            started.stop()


def start(workspace: Workspace, *targets: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", *targets, "--configfile", "tiny.yaml", *HERE]
    out = (workspace.folder / "slurm.out").open("w")
    return subprocess.Popen(command, cwd=workspace.folder, stdout=out, stderr=subprocess.STDOUT, text=True)


def finish(workspace: Workspace, running: subprocess.Popen) -> str:
    assert running.wait(timeout=400) == 0, (workspace.folder / "slurm.out").read_text()
    return (workspace.folder / "slurm.out").read_text()


def described(cluster: Cluster, since: int = 0) -> dict[str, list[str]]:
    """What SLURM knows of the jobs submitted after a number of others, by rule."""
    found: dict[str, list[str]] = {}
    for job in cluster.jobs().split("\n\n"):
        number, comment = re.search(r"JobId=(\d+)", job), re.search(r"Comment=rule_([a-z_]+?)_wildcards", job)
        if number and comment and int(number[1]) > since:
            found.setdefault(comment[1], []).append(job)
    return found


def submitted(cluster: Cluster) -> int:
    return max((int(n) for n in re.findall(r"JobId=(\d+)", cluster.jobs())), default=0)


def wait_for(condition: Callable[[], bool]) -> bool:
    """Whether something has become true within three minutes: other tests may run beside."""
    for _ in range(1800):
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_a_run_through_slurm_has_the_bytes_of_a_local_one(cluster: Cluster, run_once: Workspace, tmp_path: Path) -> None:
    """One experiment in four shards; GPUs asked for by the rules of the profile, memory and time by all."""
    workspace = fresh(tmp_path / "project")
    workspace.change("experiments.init_3layer.shards", 4)
    before = submitted(cluster)
    finish(workspace, start(workspace))
    assert workspace.tables() == run_once.tables()
    assert {p.name: p.read_bytes() for p in (workspace.folder / "results/tiny/trained").glob("*.safetensors")} == {
        p.name: p.read_bytes() for p in (run_once.folder / "results/tiny/trained").glob("*.safetensors")
    }
    jobs = described(cluster, before)
    assert {rule: len(of_rule) for rule, of_rule in jobs.items()} == {
        "pretrain": 2, "train_shard": 4, "train": 3, "measure": 3,
    }  # fmt: skip
    for rule, of_rule in jobs.items():
        for job in of_rule:
            assert "JobState=COMPLETED" in job
            assert ("TresPerJob=gres:gpu:1" in job) == (rule != "measure"), job
            assert re.search(r"MinMemoryNode=4000M", job) and "NumCPUs=1 " in job


def test_a_figure_submits_what_trains_and_measures_and_nothing_else(
    cluster: Cluster, run_once: Workspace, tmp_path: Path
) -> None:
    """Three jobs, so that a figure of tiny networks takes less than a minute (seen: 46 to 51 s), not three."""
    workspace = fresh(tmp_path / "project")
    before = submitted(cluster)
    finish(workspace, start(workspace, "fig10"))
    assert {rule: len(jobs) for rule, jobs in described(cluster, before).items()} == {
        "pretrain": 1,
        "train": 1,
        "measure": 1,
    }
    path = "results/tiny/measurements/corruption_3layer.csv"
    assert (workspace.folder / path).read_bytes() == (run_once.folder / path).read_bytes()
    assert (workspace.folder / "results/tiny/figures/fig10.png").stat().st_size > 0


@pytest.mark.parametrize("fault", ["cancelled", "drained", "time out"])
def test_a_job_that_is_stopped_in_mid_training_is_retried_and_goes_on(
    cluster: Cluster, finished: Workspace, fault: str
) -> None:
    finished.change("experiments.init_3layer.network.epochs", 300)
    finished.change("experiments.init_3layer.network.max_epochs", 300)
    before = submitted(cluster)
    if fault == "drained":
        cluster.ask("scontrol", "update", f"nodename={cluster.host}", "state=drain", "reason=test")
    running = start(finished, "results/tiny/trained/init_3layer.safetensors")
    if fault == "drained":
        assert wait_for(lambda: "PENDING" in cluster.ask("squeue", "-h", "-o", "%T"))
        cluster.ask("scontrol", "update", f"nodename={cluster.host}", "state=resume")
    checkpoints = finished.folder / "results/cache/checkpoints"
    assert wait_for(lambda: any(checkpoints.glob("*.pt")))
    number = str(submitted(cluster))
    assert int(number) > before
    if fault == "cancelled":
        cluster.ask("scancel", number)
    if fault == "time out":  # of a job that hangs, so that the minute which is SLURM's shortest limit passes in any case
        cluster.ask("scontrol", "update", f"jobid={number}", "timelimit=1")
        for process in psutil.process_iter(["cmdline"]):
            if any(str(finished.folder) in word and ".snakemake/scripts" in word for word in process.info["cmdline"] or ()):
                process.suspend()
    finish(finished, running)
    jobs = described(cluster, before)["train"]
    assert len(jobs) == (1 if fault == "drained" else 2)
    assert "JobState=COMPLETED" in jobs[-1]
    if fault != "drained":
        assert f"JobState={'CANCELLED' if fault == 'cancelled' else 'TIMEOUT'}" in jobs[0]
    by_slurm = {p.name: p.read_bytes() for p in (finished.folder / "results/tiny/trained").glob("init*")}
    for path in ("results/cache", "results/tiny"):
        subprocess.run(["rm", "-r", str(finished.folder / path)], check=True)
    finished.snakemake("results/tiny/trained/init_3layer.safetensors")
    assert {p.name: p.read_bytes() for p in (finished.folder / "results/tiny/trained").glob("init*")} == by_slurm
