"""Cache trained networks, one file each, named by the hash of their spec; keep checkpoints of those in training."""

import hashlib
import io
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from puzzles.base import paths
from puzzles.base.errors import ResultsError
from puzzles.base.files import atomic, partials
from puzzles.config.specs import NetworkSpec, as_dict

log = logging.getLogger(__name__)

State = dict[str, torch.Tensor]


@dataclass
class Entry:
    """One training: its history (a row for each evaluated epoch) and the weights of its named snapshots."""

    data_digest: str  # of the data set it was trained on
    history: list[dict]
    snapshots: dict[str, State]
    engines: list[str] = field(default_factory=list)  # what has trained it, such as "loop on cpu"


def store_entry(spec: NetworkSpec, entry: Entry) -> None:
    """Write an entry, atomically."""
    tensors = {f"{s}/{name}": t.contiguous() for s, state in entry.snapshots.items() for name, t in state.items()}
    known = {"spec": as_dict(spec), "data": entry.data_digest, "history": entry.history, "engines": entry.engines}
    about = json.dumps(known)
    metadata = {"about": about, "sha256": checksum(tensors, about)}
    path = paths.cached_network(spec.hash)
    _remove(*partials(path))
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata)


def load_entry(spec: NetworkSpec, data_digest: str) -> Entry | None:
    """The entry of a spec; None if there is none, it is damaged, another network's, or from other data of the same name.

    Raises:
        ResultsError: a folder has its name, so that it could not be stored.
    """
    path = paths.cached_network(spec.hash)
    if path.is_dir():
        raise ResultsError(f"{path}: found a folder, expected a file of weights or nothing; remove it")
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dictionary)
    except FileNotFoundError:
        return None
    except SafetensorError as error:
        log.warning("%s: damaged (%s); training this network again", path, error)
        return None
    about = metadata.get("about", "")
    if metadata.get("sha256") != checksum(tensors, about):
        log.warning("%s: damaged (its checksum does not hold); training this network again", path)
        return None
    known = json.loads(about)
    if known["spec"] != _plain(spec):
        log.warning("%s: holds another network (copied or renamed?); training this network again", path)
        return None
    if known["data"] != data_digest:
        log.info("%s: trained on other data named %s; training this network again", path, spec.dataset)
        return None
    snapshots: dict[str, State] = {}
    for key, tensor in tensors.items():
        snapshot, name = key.split("/", 1)
        snapshots.setdefault(snapshot, {})[name] = tensor
    return Entry(data_digest, known["history"], snapshots, known.get("engines", []))


def checksum(tensors: State, about: str) -> str:
    """sha256 of tensors (names, shapes, types and values) and of a text about them."""
    total = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        total.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}".encode())
        total.update(tensors[name].numpy().tobytes())
    return total.hexdigest()


def store_checkpoint(spec: NetworkSpec, state: dict) -> None:
    """Keep a network in training, so that a killed job resumes from here: a line with spec and checksum, then the state."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    header = {"spec": _plain(spec), "sha256": hashlib.sha256(content).hexdigest()}
    with atomic(paths.checkpoint(spec.hash)) as temporary:
        temporary.write_bytes(json.dumps(header).encode() + b"\n" + content)


def load_checkpoint(spec: NetworkSpec, data_digest: str) -> dict | None:
    """The last checkpoint of a spec, if it has one for this data that is whole."""
    path = paths.checkpoint(spec.hash)
    if not path.is_file():
        return None
    header, _, content = path.read_bytes().partition(b"\n")
    try:
        known = json.loads(header)
        whole = known["sha256"] == hashlib.sha256(content).hexdigest()
    except (ValueError, KeyError, TypeError):
        known, whole = {}, False
    if not whole or known["spec"] != _plain(spec):
        found = "holds another network" if whole else "damaged (its checksum does not hold)"
        log.warning("%s: %s; starting this network from the beginning", path, found)
        return None
    state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    return state if state["data"] == data_digest else None


def _plain(spec: NetworkSpec) -> dict:
    """A spec as JSON gives it back."""
    plain: dict = json.loads(json.dumps(as_dict(spec)))
    return plain


def drop_checkpoint(spec: NetworkSpec) -> None:
    """Forget the checkpoint of a finished network."""
    path = paths.checkpoint(spec.hash)
    _remove(path, *partials(path))


def _remove(*files: Path) -> None:
    """Delete files. Callers hold the network's lock, so partial files of other processes are left from killed ones."""
    for file in files:
        file.unlink(missing_ok=True)
