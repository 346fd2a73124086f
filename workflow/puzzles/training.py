"""Train what the cache lacks, and assemble an experiment's outputs from it."""

import json
import logging
import time
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from puzzles import cache, paths
from puzzles.config import Config
from puzzles.csvs import write_csv
from puzzles.data import Dataset
from puzzles.devices import choose_device
from puzzles.errors import DataError
from puzzles.experiments import Experiment, Network
from puzzles.files import Lock, atomic
from puzzles.population import Population
from puzzles.progress import Progress
from puzzles.specs import NetworkSpec, Select, as_dict, from_dict

log = logging.getLogger(__name__)

Wanted = dict[str, tuple[NetworkSpec, list[Select]]]  # by hash: a spec and the snapshots to keep


def ensure_trained(title: str, wanted: Wanted, dataset: Dataset, pretrained: dict[str, cache.State], runtime: dict) -> None:
    """Train every wanted network that the cache lacks, or of which it lacks a snapshot.

    Jobs that want the same networks share them out: each network is trained by whoever holds its lock, and the others
    take it from the cache. Finished networks are cached at once, so that a killed job loses none.
    """
    device = choose_device(runtime.get("device", "auto"))
    population = Population(dataset, pretrained, runtime.get("checkpoint_seconds", 30), device)
    missing = {key: want for key, want in wanted.items() if not _cached(*want, population.digest)}
    specs, found = [spec for spec, _ in missing.values()], len(wanted) - len(missing)
    progress = Progress(title, specs, found, runtime.get("progress_seconds", 10))
    progress.start()
    most = runtime.get("population", 8 if device.type == "cpu" else 32)
    while missing:
        mine = _claim(missing, most)
        if not mine:
            time.sleep(1)  # the rest is in training elsewhere
        try:
            _train_claimed(mine, missing, population, progress)
        except torch.cuda.OutOfMemoryError:
            if len(mine) <= 1:
                raise
            most = len(mine) // 2
            log.warning("%s: out of memory with %d networks at once; going on with %d", title, len(mine), most)
            population = Population(dataset, pretrained, runtime.get("checkpoint_seconds", 30), device)
        finally:
            for lock in mine.values():
                lock.release()
    progress.end()


def _train_claimed(mine: dict[str, Lock], missing: Wanted, population: Population, progress: Progress) -> None:
    def finish(spec: NetworkSpec, entry: cache.Entry) -> None:
        _store(spec, entry)
        done(spec)

    def done(spec: NetworkSpec) -> None:
        progress.finished(spec)
        del missing[spec.hash]
        mine.pop(spec.hash).release()

    for key in list(mine):
        if _cached(*missing[key], population.digest):  # by another job, since we looked
            done(missing[key][0])
    population.train([missing[key] for key in mine], finish, progress.epoch)


def wanted(networks: Iterable[Network], config: Config) -> Wanted:
    """The specs of networks and, for each, every snapshot that this configuration asks for."""
    return {n.spec.hash: (n.spec, config.snapshots(n.spec)) for n in networks}


def _claim(missing: Wanted, most: int) -> dict[str, Lock]:
    claimed: dict[str, Lock] = {}
    for key in missing:
        if len(claimed) == most:
            break
        lock = Lock(paths.network_lock(key))
        if lock.acquire():
            claimed[key] = lock
    return claimed


def _cached(spec: NetworkSpec, select: list[Select], digest: str) -> bool:
    entry = cache.load(spec, digest)
    return entry is not None and {s.name for s in select} <= set(entry.snapshots)


def _store(spec: NetworkSpec, entry: cache.Entry) -> None:
    """Add an entry to the cache; snapshots that an earlier training of the same spec has kept stay."""
    before = cache.load(spec, entry.data_digest)
    if before is not None:
        entry.snapshots |= before.snapshots
    cache.store(spec, entry)


# ------------------------------------------------------------------------------------------------------- an experiment


def write_networks(path: str | Path, networks: Iterable[Network], select: Iterable[Select], digest: str) -> None:
    """Assemble the trained networks of an experiment from the cache.

    Tensors are named ``<network>/<parameter>``; networks of a second and further snapshot are named
    ``<network>@<snapshot>``. The one metadata key, ``specs``, maps each to its spec.
    """
    tensors, specs = {}, {}
    for network in networks:
        entry = _entry(network, digest)
        for k, s in enumerate(select):
            key = stored_name(network.name, s, first=k == 0)
            specs[key] = as_dict(network.spec)
            tensors |= {f"{key}/{name}": tensor for name, tensor in entry.snapshots[s.name].items()}
    with atomic(path) as temporary:
        save_file(tensors, temporary, {"specs": json.dumps(specs, sort_keys=True)})


def read_networks(path: str | Path) -> tuple[dict[str, NetworkSpec], dict[str, cache.State]]:
    """The specs and the weights of a file that ``write_networks`` wrote, by stored name."""
    states: dict[str, cache.State] = {}
    with safe_open(path, framework="pt") as file:
        specs = json.loads(file.metadata()["specs"])
        for key in file.keys():  # noqa: SIM118 (not a dictionary)
            network, name = key.split("/", 1)
            states.setdefault(network, {})[name] = file.get_tensor(key)
    return {name: from_dict(NetworkSpec, spec) for name, spec in specs.items()}, states


def read_pretrained(path: str | Path | None) -> dict[str, cache.State]:
    """The weights of pretrained networks by the hash of their spec; none without a file."""
    if not path:
        return {}
    specs, states = read_networks(path)
    return {specs[name].hash: state for name, state in states.items()}


def stored_name(network: str, select: Select, first: bool) -> str:
    """The name of one snapshot of a network in an experiment's file."""
    return network if first else f"{network}@{select.name}"


def write_history(path: str | Path, experiment: Experiment, digest: str) -> None:
    """Losses, errors, rho and normalized losses of every evaluated epoch of an experiment's networks."""
    rows = [
        {"experiment": experiment.name, "network": n.name, "group": n.group, "axis": n.axis, "value": n.value}
        | {"seed": n.spec.seed}
        | row
        for n in experiment.networks
        for row in _entry(n, digest).history
    ]
    write_csv(pd.DataFrame(rows), path)


def _entry(network: Network, digest: str) -> cache.Entry:
    entry = cache.load(network.spec, digest)
    if entry is None:
        raise DataError(f"{paths.cached_network(network.spec.hash)}: gone since {network.name} was trained; run again")
    return entry
