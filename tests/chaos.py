"""Faults at random moments of whole runs, for hours if you like: make chaos [TIMES=20] [FAULTS=kill].

Each time a fresh run of tiny trainings is disturbed once, the same command is given again until it ends well, and its files
are compared with those of an undisturbed run. Each disturbed run is a row of chaos.csv, which grows from call to call;
`make cost` counts them.
"""

import argparse
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from workspace import RUN, Workspace, flip_a_bit, fresh, use_own_digits

from puzzles.base.csvs import read_csv, write_csv
from puzzles.output.provenance import commit

Fault = Callable[[int, Workspace], list[Workspace]]
"""A function of the session that runs and its folder. It returns the folders whose tables must be as those of an undisturbed
run in the end; none if there was nothing to disturb at this moment."""
DATA = "own/digits.npz"


def on_own_data(folder: Path) -> Workspace:
    """A fresh copy of the project of which one experiment reads a file of the user's."""
    workspace = fresh(folder)
    use_own_digits(workspace, Path(DATA))
    return workspace


def processes_of(group: int) -> list[tuple[int, str]]:
    """The processes of a session: number and command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == group:
                found.append((int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()))
        except (OSError, ProcessLookupError):
            continue
    return found


def signal_those(wanted: str, number: signal.Signals) -> Fault:
    """A signal to one process of the run with these words in its command line."""

    def fault(group: int, workspace: Workspace) -> list[Workspace]:
        chosen = [process for process, line in processes_of(group) if wanted in line]
        if chosen:
            os.kill(random.choice(chosen), number)
        return [workspace] if chosen else []

    return fault


def signal_all(number: signal.Signals) -> Fault:
    """A signal to all processes of the run, as from the keyboard."""

    def fault(group: int, workspace: Workspace) -> list[Workspace]:
        os.killpg(group, number)
        return [workspace]

    return fault


def kill_all(group: int) -> None:
    os.killpg(group, signal.SIGKILL)
    while any("snakemake" in line for _, line in processes_of(group)):  # until none holds a lock
        time.sleep(0.05)


def to_a_file(pattern: str, change: Callable[[list[Path]], object], at_least: int = 1) -> Fault:
    """All processes killed, and a change to one of the files of a pattern, if there are enough yet."""

    def fault(group: int, workspace: Workspace) -> list[Workspace]:
        files = sorted(workspace.folder.glob(pattern))
        if len(files) < at_least:
            return []
        kill_all(group)
        change(random.sample(files, at_least))
        return [workspace]

    return fault


def cut(files: list[Path]) -> None:
    """Leave the first half of a file."""
    content = files[0].read_bytes()
    files[0].write_bytes(content[: len(content) // 2])


def flip(files: list[Path]) -> None:
    """Change one bit anywhere in a file."""
    flip_a_bit(files[0], random.randrange(files[0].stat().st_size), random.randrange(8))


def copy_over(files: list[Path]) -> None:
    """Put the first file's content under the second's name."""
    shutil.copyfile(files[0], files[1])


def remove_results(group: int, workspace: Workspace) -> list[Workspace]:
    there = (workspace.folder / RUN).exists()
    shutil.rmtree(workspace.folder / RUN, ignore_errors=True)
    return [workspace] if there else []


def move_clock(group: int, workspace: Workspace) -> list[Workspace]:
    """Kill everything, and date half of the files a year back or ahead, as a clock that jumps leaves them."""
    kill_all(group)
    files = [file for file in (workspace.folder / "results").rglob("*") if file.is_file()]
    jump = random.choice([-1, 1]) * 365 * 24 * 3600
    for file in random.sample(files, len(files) // 2):
        os.utime(file, (time.time() + jump,) * 2)
    return [workspace]


def start_again_beside(group: int, workspace: Workspace) -> list[Workspace]:
    """Give the command a second time in the same folder, which is refused."""
    second = subprocess.run(workspace.command(), cwd=workspace.folder, capture_output=True, text=True, check=False)
    if second.returncode == 0 and is_whole(workspace):  # the first had ended by then
        return []
    assert "cannot be locked" in second.stdout + second.stderr
    return [workspace]


def share_the_cache(group: int, workspace: Workspace) -> list[Workspace]:
    """Run the same experiments in another folder, with this one's cache."""
    other = on_own_data(workspace.folder.parent / "other")
    (workspace.folder / "results/cache").mkdir(parents=True, exist_ok=True)
    (other.folder / "results").mkdir()
    (other.folder / "results/cache").symlink_to(workspace.folder / "results/cache")
    other.snakemake()
    return [workspace, other]


def replace_data(group: int, workspace: Workspace) -> list[Workspace]:
    """Kill everything, run on other images of the same name to the end, and put the first ones back."""
    kill_all(group)
    file = workspace.folder / DATA
    content = file.read_bytes()
    data = dict(np.load(file))
    data["train_x"] = data["train_x"][:, ::-1]  # upside down
    np.savez(file, **data)
    workspace.snakemake()
    file.write_bytes(content)
    return [workspace]


ENTRIES = "results/cache/networks/[!.]*.safetensors"
CHECKPOINTS = "results/cache/checkpoints/[!.]*.pt"
FAULTS: dict[str, Fault] = {
    "kill -9 of a job": signal_those(".snakemake/scripts", signal.SIGKILL),
    "kill -9 of Snakemake": signal_those("-m snakemake", signal.SIGKILL),
    "kill -9 of everything": signal_all(signal.SIGKILL),
    "Ctrl-C": signal_all(signal.SIGINT),
    "SIGTERM to Snakemake": signal_those("-m snakemake", signal.SIGTERM),
    "results removed": remove_results,
    "a cache entry cut": to_a_file(ENTRIES, cut),
    "a bit flipped in a cache entry": to_a_file(ENTRIES, flip),
    "a cache entry under another's name": to_a_file(ENTRIES, copy_over, at_least=2),
    "a checkpoint cut": to_a_file(CHECKPOINTS, cut),
    "a bit flipped in a checkpoint": to_a_file(CHECKPOINTS, flip),
    "files dated a year off": move_clock,
    "the same command a second time": start_again_beside,
    "another run with the same cache": share_the_cache,
    "data replaced for a while": replace_data,
}
SPOIL_NETWORKS = {name for name in FAULTS if "entry" in name or "data" in name}  # these have to be trained again


def hears_interrupts() -> None:
    """In a new process: do not ignore SIGINT, as a shell tells what it runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def is_whole(workspace: Workspace) -> bool:
    return (workspace.folder / RUN / "report.html").exists()


def stored(workspace: Workspace) -> dict[str, int]:
    """The cached networks and their inodes: a network that is stored again has another one, whatever its date says."""
    return {file.name: file.stat().st_ino for file in workspace.folder.glob(ENTRIES)}


def end(group: int) -> None:
    """End the jobs that outlive a killed Snakemake, and hold their networks' locks."""
    for number, _ in processes_of(group):
        os.kill(number, signal.SIGTERM)


@dataclass(frozen=True)
class Outcome:
    """Of one disturbed run: a row of chaos.csv."""

    after_seconds: float
    undisturbed_seconds: float
    commit: str | None
    same_bytes: bool
    commands_again: int
    trained_again: int  # networks that were in the cache already
    seconds_more: float  # than an undisturbed run


def disturbed(template: Workspace, fault: str, after: float, whole: float) -> Outcome | None:
    """Disturb a fresh run after some seconds, and finish it; None if it ended before there was anything to disturb."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = on_own_data(Path(folder) / "project")
        start = time.monotonic()
        with (workspace.folder / "out.txt").open("w") as out:
            running = subprocess.Popen(
                workspace.command(),
                cwd=workspace.folder,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=hears_interrupts,
            )
            time.sleep(after)
            to_compare: list[Workspace] = []
            while not to_compare:  # until there is a checkpoint, or whatever is to be damaged
                if running.poll() is not None:
                    return None
                finished, after = stored(workspace), time.monotonic() - start
                to_compare = FAULTS[fault](running.pid, workspace)
            running.wait()
            end(running.pid)
        again, done = 0, running.returncode == 0 and is_whole(workspace)
        while not done and again < 5:
            again += 1
            done = (
                subprocess.run(workspace.command(), cwd=workspace.folder, capture_output=True, check=False).returncode == 0
            )
        intact = {} if fault in SPOIL_NETWORKS else finished
        trained_again = sum(stored(workspace).get(name) != inode for name, inode in intact.items())
        same = done and all(w.tables() == template.tables() for w in to_compare)
        return Outcome(after, whole, commit(), same, again, trained_again, time.monotonic() - start - whole)


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--faults", nargs="+", default=[""], help="only those with one of these words in their name")
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    table = options.out / "chaos.csv"
    rows = read_csv(table).to_dict("records") if table.is_file() else []
    with tempfile.TemporaryDirectory() as folder:
        template = on_own_data(Path(folder) / "project")
        start = time.monotonic()
        template.snakemake()
        whole = time.monotonic() - start
        for _ in range(options.times):
            for fault in (name for name in FAULTS if any(word in name for word in options.faults)):
                outcome = None
                while outcome is None:
                    outcome = disturbed(template, fault, random.uniform(2, whole), whole)
                rows.append({"fault": fault} | dataclasses.asdict(outcome))
                print(rows[-1], flush=True)
                write_csv(pd.DataFrame(rows), table)
    sys.exit(not all(row["same_bytes"] for row in rows))


if __name__ == "__main__":
    main()
