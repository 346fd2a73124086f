"""The files of an experiment, assembled from the cache: weights, and the history of every training."""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from puzzles.base import paths
from puzzles.base.csvs import write_csv
from puzzles.base.errors import DataError, ResultsError
from puzzles.base.files import atomic
from puzzles.config.experiments import Experiment, Network
from puzzles.config.specs import NetworkSpec, Select, as_dict, from_dict
from puzzles.training import cache

DELETE = "delete it and run the same command again: it is made from the cache, without training"


def write_networks(path: str | Path, networks: Iterable[Network], select: Iterable[Select], digest: str) -> None:
    """Assemble the trained networks of an experiment from the cache.

    Tensors are named ``<network>/<parameter>``; networks of a second and further snapshot are named
    ``<network>@<snapshot>``. The one metadata key, ``about``, is JSON: ``specs`` maps each to its spec, ``engines`` to what
    has trained it, ``sha256`` is the checksum of weights and specs. With several keys, the bytes of the file would depend on
    their order.

    Raises:
        DataError: a network is not in the cache, or was trained on other data.
    """
    tensors: cache.State = {}
    specs: dict[str, dict] = {}
    engines: dict[str, list[str]] = {}
    for network in networks:
        entry = _entry(network, digest)
        for k, s in enumerate(select):
            key = stored_name(network.name, s, first=k == 0)
            specs[key] = as_dict(network.spec)
            engines[key] = entry.engines
            tensors |= {f"{key}/{name}": tensor for name, tensor in entry.snapshots[s.name].items()}
    sha256 = cache.checksum(tensors, json.dumps(specs, sort_keys=True))
    with atomic(path) as temporary:
        about = {"specs": specs, "engines": engines, "sha256": sha256}
        save_file(tensors, temporary, {"about": json.dumps(about, sort_keys=True)})


def read_networks(path: str | Path) -> tuple[dict[str, NetworkSpec], dict[str, cache.State]]:
    """The specs and the weights of a file that ``write_networks`` wrote, by stored name.

    Raises:
        ResultsError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dictionary)
    except SafetensorError as error:
        raise ResultsError(f"{path}: damaged ({error}); {DELETE}") from error
    about = json.loads(metadata.get("about", "{}"))
    specs = about.get("specs", {})
    if about.get("sha256") != cache.checksum(tensors, json.dumps(specs, sort_keys=True)):
        raise ResultsError(f"{path}: damaged, or of an earlier version (its checksum does not hold); {DELETE}")
    states: dict[str, cache.State] = {}
    for key, tensor in tensors.items():
        network, name = key.split("/", 1)
        states.setdefault(network, {})[name] = tensor
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
    """Losses, errors, rho and normalized losses of every evaluated epoch of an experiment's networks.

    Raises:
        DataError: a network is not in the cache, or was trained on other data.
    """
    rows = [
        {"experiment": experiment.name, "network": n.name, "group": n.group, "axis": n.axis, "value": n.value}
        | {"seed": n.spec.seed}
        | row
        for n in experiment.networks
        for row in _entry(n, digest).history
    ]
    write_csv(pd.DataFrame(rows), path)


def _entry(network: Network, digest: str) -> cache.Entry:
    entry = cache.load_entry(network.spec, digest)
    if entry is None:
        raise DataError(f"{paths.cached_network(network.spec.hash)}: gone since {network.name} was trained; run again")
    return entry
