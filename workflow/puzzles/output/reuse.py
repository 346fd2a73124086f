"""Reuse the tables of a published run with the same networks, so that a run can be finished on another machine."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from puzzles.base import paths
from puzzles.base.digests import code_digest, digest
from puzzles.base.errors import ResultsError
from puzzles.config.configuration import Config
from puzzles.config.experiments import Experiment
from puzzles.config.specs import as_dict


@dataclass(frozen=True)
class Records:
    """The specs and the provenance of a published run."""

    run: str
    specs: dict
    provenance: dict

    @classmethod
    def read(cls, run: str) -> "Records":
        """The records in ``results/reference/<run>``."""
        specs, provenance = (json.loads((paths.REFERENCE / run / f"{n}.json").read_text()) for n in ("specs", "provenance"))
        return cls(run, specs, provenance)

    def origin(self, experiment: str) -> dict:
        """Where the tables of an experiment were computed: in this run, or in the one that it took them from."""
        own = {key: self.provenance[key] for key in ("run", "time", "commit", "processor", "gpu", "measuring_code")}
        return self.provenance["reused"].get(experiment, own)


def resolved_specs(config: Config) -> dict:
    """The whole description of every network: experiment, network's name, settings that differ from their defaults."""
    specs = {}
    for name, experiment in config.experiments.items():
        specs[name] = {
            n.name: {"hash": n.spec.hash} | as_dict(n.spec) for n in (*experiment.pretrainings, *experiment.networks)
        }
    return specs


def measurement_digest(experiment: Experiment) -> str:
    """A digest of what is measured in an experiment: its networks, snapshots and norms, but not its description."""
    return digest(replace(experiment, description="", shards=1))


def measuring_code() -> str:
    """A digest of the code that measures."""
    return code_digest("analysis.tables")


def reusable(config: Config) -> dict[str, str]:
    """The experiments whose networks and measurements are all in a published run, and that run's name.

    Nothing unless the configuration says ``reuse: reference``. The run of the same name is looked at first. One that is
    older than a file that runs keep today has nothing to take over.
    """
    if config.raw.get("reuse", "none") == "none":
        return {}
    found: dict[str, str] = {}
    specs = json.loads(json.dumps(resolved_specs(config)))
    digests = {name: measurement_digest(e) for name, e in config.experiments.items()}
    for run in sorted(paths.published_runs(), key=lambda name: (name != config.run, name)):
        records = Records.read(run)
        for name in config.experiments:
            same = (
                records.specs.get(name) == specs[name]
                and records.provenance["measurement_digests"].get(name) == digests[name]
            )
            if same and name not in found and all(Path(file).is_file() for file in reused_files(run, name)):
                found[name] = run
    return found


def reused_files(run: str, experiment: str) -> list[str]:
    """The files of a published run that a run takes over, in the order of ``paths.EXPERIMENT_FILES``."""
    return paths.experiment_files(f"{paths.REFERENCE.name}/{run}", experiment)


def origins(found: dict[str, str]) -> dict[str, dict]:
    """For each experiment that ``reusable`` found, where its tables were computed."""
    records = {run: Records.read(run) for run in set(found.values())}
    return {name: records[run].origin(name) for name, run in found.items()}


def check_same_data(run: str, dataset: str | Path, splits: Iterable[str] = ("train", "test")) -> None:
    """Check that the data set here is the one that a published run has used.

    Args:
        dataset: the provenance file of the data set here.
        splits: what must be the same.

    Raises:
        ResultsError: its checksums differ, or the published run knows no such data set.
    """
    here = json.loads(Path(dataset).read_text())
    there = next((d for d in Records.read(run).provenance["datasets"] if d["name"] == here["name"]), None)
    for split in splits:
        if there is None or there[split]["sha256"] != here[split]["sha256"]:
            found = here[split]["sha256"][:12]
            expected = f"{there[split]['sha256'][:12]}" if there else "such a data set"
            raise ResultsError(
                f"{dataset}: found a {split} set of {here['name']} with sha256 {found}, expected {expected} as in the"
                f" published run {run} (without reuse: reference, the networks are trained here)"
            )
