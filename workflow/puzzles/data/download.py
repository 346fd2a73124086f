"""Get a data set: from the user's own files, from scikit-learn, or through torchvision."""

import hashlib
import http.client
import json
import logging
import socket
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from puzzles.base.errors import DataError
from puzzles.base.files import atomic
from puzzles.base.randomness import generator
from puzzles.config.checks import known_form
from puzzles.config.specs import NetworkSpec
from puzzles.data.dataset import Dataset, checked, read_npz, write_npz
from puzzles.data.own_files import read_folder, read_idx
from puzzles.data.preparation import check_images

log = logging.getLogger(__name__)

# sha256 of images and labels, as `fingerprint` computes it. The CIFAR-10 test set has no entry and is not verified.
OFFICIAL = {
    ("cifar10", "train"): "67e12c2a5906880a4fe5595fe6d768185ad7ca587f35d3a7ece3c3b8b85035d2",
    ("cifar100", "train"): "f062ca493c4d44a3d0921f223fbc3b1e88b46fd03322e97c635a0ac2a5f8baab",
    ("cifar100", "test"): "bd251483addf0530bc3e831455074dfa75f7657056fc2639e6b6aced382c06a9",
    ("mnist", "train"): "d18cfd466eb143ac1097fde604dba9eec4116885869d04cc648b510949f9e88c",
    ("mnist", "test"): "a0863a96c44e5666edbb30c4071ee79ca0514c621e6349c5967fc78e7305c891",
}
# Of the labels alone of the CIFAR-10 test set: its images have no entry above.
CIFAR10_TEST_LABELS = "cbb7365de8ed11f05cc4c3a1e7f78144127c5e851efd83762fb18202461230bb"
SCIKIT_LEARN = "scikit-learn"
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Fetch:
    """How to look for and download a data set; the schema of the configuration explains the fields."""

    data_dir: Path = Path("data")
    attempts: int = 3
    timeout: float = 30.0
    pause: float = 2.0  # seconds before the second try, twice as long before each further one


def fetch_to(npz: Path, settings: dict, how: Fetch, specs: Iterable[NetworkSpec] = ()) -> None:
    """Get the data set that a file is named after; write it there, and beside it its provenance as JSON.

    Args:
        settings: its entry under ``datasets`` in the configuration.
        specs: of networks that are to be trained on it.

    Raises:
        DataError: as ``fetch``; or a network cannot be trained on these images (``check_images``).
    """
    dataset, provenance = fetch(npz.stem, settings, how)
    check_images(dataset, specs, provenance["origin"])
    with atomic(npz.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(provenance, indent=1, sort_keys=True) + "\n")
    write_npz(dataset, npz)


def fetch(name: str, settings: dict, how: Fetch) -> tuple[Dataset, dict]:
    """The data set ``name`` and its provenance.

    Args:
        settings: its entry under ``datasets`` in the configuration.

    Raises:
        DataError: a file of the user's is damaged or of the wrong form, or every download failed.
    """
    source, form = settings["source"], known_form(settings)
    own = how.data_dir / settings.get("path", f"{source}.npz")
    if source == "folder":
        dataset, origin = read_folder(own, name, settings.get("resize", 0)), f"pictures of {own.name}"
    elif source == "idx":
        dataset, origin = read_idx(own, name), f"files of {own.name}"
    elif source == "npz" or (source != "digits" and own.is_file()):
        dataset, origin = read_npz(own, name), f"{own.name} from data_dir"
    elif source == "digits":
        assert form is not None
        dataset, origin = _digits(name, train_size=form[2]), SCIKIT_LEARN
    else:
        dataset, origin = _torchvision(name, source, how)
    if form is not None:
        side, channels, examples = form
        if dataset.train_x.shape != (examples, side, side, channels):
            found, wanted = dataset.train_x.shape, (examples, side, side, channels)
            raise DataError(f"{own}: train_x has shape {found}, expected {wanted} of {source}")
    digests = {split: fingerprint(dataset, split) for split in SPLITS}
    about = {"name": name, "source": source, "origin": origin, "data": identity(dataset, origin, digests)}
    return dataset, about | _verified(dataset, source, digests)


def identity(dataset: Dataset, origin: str, digests: dict[str, str]) -> str:
    """What a data set is, whatever its name: ``cifar10``, ``cifar100``, ``mnist``, ``digits`` or ``other``.

    By the digests of its images and labels; of the CIFAR-10 test set only the labels are known. ``digits`` is what comes
    from scikit-learn.

    Args:
        digests: the ``fingerprint`` of each split.
    """
    if origin == SCIKIT_LEARN:
        return "digits"
    for name in ("cifar10", "cifar100", "mnist"):
        same = all(digests[split] == OFFICIAL[name, split] for split in SPLITS if (name, split) in OFFICIAL)
        if same and (name != "cifar10" or _labels_digest(dataset.test_y) == CIFAR10_TEST_LABELS):
            return name
    return "other"


def _labels_digest(labels: np.ndarray) -> str:
    return hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()


def fingerprint(dataset: Dataset, split: str) -> str:
    """sha256 of the images and labels of one split."""
    images, labels = getattr(dataset, f"{split}_x"), getattr(dataset, f"{split}_y")
    return hashlib.sha256(images.tobytes() + labels.astype("<i8").tobytes()).hexdigest()


def _verified(dataset: Dataset, source: str, digests: dict[str, str]) -> dict:
    found = {}
    for split, digest in digests.items():
        official = OFFICIAL.get((source, split))
        found[split] = {"examples": len(getattr(dataset, f"{split}_y")), "sha256": digest}
        if official is not None:
            found[split]["official"] = digest == official
            if digest != official:
                log.warning("%s: the %s set differs from the official one", source, split)
    return found


def _digits(name: str, train_size: int) -> Dataset:
    """The 1,797 digits of scikit-learn: 8x8, 17 grey levels, split (1,437 / 360) by class from a named stream."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    seed = int(generator(0, "digits/split").integers(2**32))
    test_size = len(images) - train_size
    train, test = train_test_split(range(len(images)), test_size=test_size, stratify=digits.target, random_state=seed)
    arrays = {"train_x": images[train], "train_y": digits.target[train]}
    return checked(arrays | {"test_x": images[test], "test_y": digits.target[test]}, "scikit-learn's digits", name)


def _torchvision(name: str, source: str, how: Fetch) -> tuple[Dataset, str]:
    from torchvision import datasets
    from torchvision.datasets.utils import check_integrity

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100, "mnist": datasets.MNIST}[source]
    unpacked = how.data_dir / ("MNIST/raw/train-images-idx3-ubyte" if source == "mnist" else kind.base_folder)
    archive = "train-images-idx3-ubyte.gz" if source == "mnist" else kind.filename
    if unpacked.exists() and _find(how.data_dir, archive) is None:
        return _unpacked(kind, source, name, how.data_dir, unpacked), "unpacked files from data_dir"
    with tempfile.TemporaryDirectory(prefix="puzzles-") as scratch:
        target = Path(scratch) / ("MNIST/raw" if source == "mnist" else "")
        target.mkdir(parents=True, exist_ok=True)
        archives = kind.resources if source == "mnist" else [(kind.filename, kind.tgz_md5)]
        own = 0
        for archive, md5 in archives:
            place = _find(how.data_dir, archive)
            if place is None:
                continue
            if not check_integrity(place, md5):
                actual = hashlib.md5(place.read_bytes(), usedforsecurity=False).hexdigest()
                raise DataError(f"{place}: truncated, damaged or wrong archive: md5 is {actual}, expected {md5}")
            (target / archive).symlink_to(place.resolve())
            own += 1
        if own < len(archives):
            _download(kind, scratch, [archive for archive, _ in archives], how)
        else:
            log.info("%s: using the archives in %s", name, how.data_dir)
        found = checked(_arrays(kind, scratch, download=True), source, name)
    origin = "archives from data_dir" if own == len(archives) else "torchvision's download"
    return found, f"{origin}, md5 verified"


def _arrays(kind: type, root: str | Path, download: bool) -> dict[str, np.ndarray]:
    parts = {split: kind(root, train=split == "train", download=download) for split in SPLITS}
    arrays = {f"{split}_x": np.asarray(part.data) for split, part in parts.items()}
    return arrays | {f"{split}_y": np.asarray(part.targets) for split, part in parts.items()}


def _unpacked(kind: type, source: str, name: str, root: Path, place: Path) -> Dataset:
    """What torchvision reads where archives have been unpacked: CIFAR's files by their md5, MNIST's by the fingerprint.

    Raises:
        DataError: files are missing, or not the official ones (CIFAR's are pickles, which are loaded only if they are).
    """
    try:
        dataset = checked(_arrays(kind, root, download=False), str(place), name)
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(f"{place}: unpacked files are missing or damaged; put the archive into {root}/ instead") from error
    if any(fingerprint(dataset, split) != OFFICIAL.get((source, split), fingerprint(dataset, split)) for split in SPLITS):
        raise DataError(f"{place}: unpacked files are not the official ones; put the archive into {root}/ instead")
    return dataset


def _find(data_dir: Path, archive: str) -> Path | None:
    """An archive in ``data_dir`` or where torchvision puts it."""
    places = (data_dir / archive, data_dir / "MNIST" / "raw" / archive)
    return next((place for place in places if place.is_file()), None)


def _download(kind: type, root: str, archives: list[str], how: Fetch) -> None:
    """Download and verify through torchvision, with several tries; complete archives are kept between tries."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(how.timeout)  # torchvision sets no timeout: a server that stalls would stall the job
    try:
        for attempt in range(how.attempts):
            if attempt:
                time.sleep(how.pause * 2 ** (attempt - 1))
            mirrors = getattr(kind, "mirrors", [""])
            turn = attempt % len(mirrors)  # start at another mirror: torchvision leaves one only if it cannot connect
            rotated = type(kind.__name__, (kind,), {"mirrors": mirrors[turn:] + mirrors[:turn]})
            try:
                rotated(root, download=True)
                return
            except (OSError, RuntimeError, EOFError, http.client.HTTPException) as error:
                problem = " ".join(f"{type(error).__name__}: {error}".split())
                log.warning("%s: try %d of %d failed: %s", kind.__name__, attempt + 1, how.attempts, problem)
    finally:
        socket.setdefaulttimeout(before)
    raise DataError(
        f"{kind.__name__}: download failed {how.attempts} times (last: {problem}); "
        f"put {', '.join(archives)} into {how.data_dir}/ and run again"
    )
