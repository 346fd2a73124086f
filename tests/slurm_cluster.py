"""A SLURM of one node on this machine, for tests: its own daemons, files and ports, without systemd, accounting or cgroups.

``python tests/slurm_cluster.py FOLDER`` starts one by hand and stops it on Enter.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
LINKS = [Path("/etc/slurm") / name for name in ("slurm.conf", "gres.conf")]  # Snakemake's job steps look nowhere else

CONFIGURATION = """\
ClusterName=puzzles
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,defer_batch
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MinJobAge=3600
KillWait=5
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:fake:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverTimeLimit=0
"""
GPUS = """\
NodeName={host} Name=gpu Type=fake File=/dev/null
NodeName={host} Name=gpu Type=fake File=/dev/zero
"""


def why_not() -> str:
    """Why there can be no such cluster here; empty where there can."""
    missing = [name for name in DAEMONS if shutil.which(name) is None]
    if missing:
        return f"{missing[0]} is not installed (Debian: slurm-wlm, munge)"
    if os.geteuid():
        return "only root can start its daemons"
    if any(link.exists() and not link.is_symlink() for link in LINKS):
        return f"this machine has a SLURM of its own ({LINKS[0]})"
    return ""


class Cluster:
    """The daemons, from ``start`` to ``stop``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = socket.gethostname().split(".")[0]
        self.running: list[subprocess.Popen] = []

    def start(self) -> None:
        """Start the daemons and wait until the node is idle."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        values = {"folder": self.folder, "host": self.host, "cpus": os.cpu_count(), "memory": int(memory * 0.9)}
        for link, text in zip(LINKS, (CONFIGURATION, GPUS), strict=True):
            (self.folder / link.name).write_text(text.format(**values))
            link.parent.mkdir(exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(self.folder / link.name)
        munge = [
            f"--{what}={self.folder}/munge.{what.split('-')[0]}"
            for what in ("key-file", "socket", "pid-file", "log-file", "seed-file")
        ]
        self._run("munged", "--foreground", "--force", *munge)
        time.sleep(0.5)
        self._run("slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))
        time.sleep(1)
        self._run("slurmd", "-D", "-f", str(self.folder / "slurm.conf"), "-N", self.host)
        for _ in range(60):
            if "idle" in self.ask("sinfo", "-h", "-o", "%t"):
                return
            time.sleep(0.5)
        raise RuntimeError(f"the node did not become idle: {(self.folder / 'slurmctld.log').read_text()[-2000:]}")

    def ask(self, *command: str) -> str:
        """The output of one of SLURM's commands."""
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def jobs(self) -> str:
        """Everything that SLURM knows of its jobs, also of those that have ended."""
        return self.ask("scontrol", "show", "job")

    def stop(self) -> None:
        """Stop the daemons and what still runs."""
        self.ask("scancel", "--state=RUNNING")
        for daemon in reversed(self.running):
            daemon.terminate()
            daemon.wait(20)
        for link in LINKS:
            link.unlink(missing_ok=True)

    def _run(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("w") as out:
            self.running.append(subprocess.Popen(command, stdout=out, stderr=out))


if __name__ == "__main__":
    cluster = Cluster(Path(sys.argv[1]).resolve())
    cluster.start()
    input("running; Enter stops it")
    cluster.stop()
