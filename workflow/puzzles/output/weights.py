"""The weights of published runs: kept where they are small, and measured again without training."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from puzzles.analysis.tables import measure_experiment, write_tables
from puzzles.base import paths
from puzzles.base.errors import ResultsError
from puzzles.base.files import atomic
from puzzles.config.configuration import Config
from puzzles.data.dataset import read_dataset
from puzzles.data.download import Fetch, fetch_to
from puzzles.output.provenance import commit
from puzzles.output.reuse import check_same_data, measurement_digest, measuring_code
from puzzles.training.devices import choose_device

LIMIT = 20 * 2**20  # bytes of the networks of one experiment: what a repository can hold


def weights_of(folder: Path, experiment: str) -> Path:
    """The networks of an experiment in the folder of a run, published or not."""
    return folder / "trained" / f"{experiment}.safetensors"


def keep_weights(source: Path, target: Path, config: Config) -> None:
    """Copy the networks of the experiments whose file is small enough (20 MiB) from a finished run."""
    for name in config.experiments:
        file = weights_of(source, name)
        if file.is_file() and file.stat().st_size <= LIMIT:
            weights_of(target, name).parent.mkdir(exist_ok=True)
            shutil.copy(file, weights_of(target, name))


def measure_published(source: Path, config: Config, data_dir: Path) -> list[str]:
    """Measure the networks of a published run again, with this version's code, where their weights are published.

    The data set comes from ``results/data``, from ``data_dir``, or through torchvision. Its training examples must be those
    of the published run; its test examples may be others (a more exact copy), and then the measurements are of those.

    Returns:
        The experiments that were measured. Histories stay as they are.

    Raises:
        ResultsError: no weights are published, or the training examples are others.
        DataError: a data set cannot be had.
    """
    names = [name for name in config.experiments if weights_of(source, name).is_file()]
    if not names:
        raise ResultsError(f"{source}: found no folder trained, expected published weights (make publish WEIGHTS=yes)")
    record = source / "provenance.json"
    provenance = json.loads(record.read_text())
    datasets = {d["name"]: d for d in provenance["datasets"]}
    for name in names:
        experiment = config.experiments[name]
        npz = paths.dataset(experiment.dataset)
        if not npz.is_file():
            fetch_to(npz, config.raw["datasets"][experiment.dataset], Fetch(data_dir))
        check_same_data(source.name, npz.with_suffix(".json"), splits=("train",))
        datasets[experiment.dataset] = json.loads(npz.with_suffix(".json").read_text())
        tables = measure_experiment(
            experiment,
            read_dataset(npz),
            weights_of(source, name),
            source / "history" / f"{name}.csv",
            choose_device(config.runtime.get("device", "auto")),
            datasets[experiment.dataset]["data"],
        )
        write_tables(
            tables, {folder: source / folder / f"{name}{suffix}" for folder, suffix in paths.EXPERIMENT_FILES.items()}
        )
        provenance["measurement_digests"][name] = measurement_digest(experiment)
    provenance |= {"datasets": list(datasets.values()), "measuring_code": measuring_code()}
    provenance["measured"] = {
        "experiments": names,
        "commit": commit(),
        "time": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    with atomic(record) as temporary:
        temporary.write_text(json.dumps(provenance, indent=1))
    return names
