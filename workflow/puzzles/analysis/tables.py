"""The tables of an experiment: what is measured of its networks, and of families to hold against them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from puzzles.analysis import families
from puzzles.base.csvs import read_csv, write_csv
from puzzles.base.files import atomic
from puzzles.config.experiments import Experiment, Network
from puzzles.config.specs import NetworkSpec
from puzzles.data.dataset import Dataset
from puzzles.data.preparation import Examples, Preparation
from puzzles.networks.architectures import build, initialize, num_parameters
from puzzles.networks.complexity import distance
from puzzles.networks.measure import Outputs, measurements, normalizer
from puzzles.normalize.layers import BATCH_NORMS
from puzzles.training.cache import State
from puzzles.training.experiment_files import read_networks, stored_name

log = logging.getLogger(__name__)

BINS = 50  # of a histogram


@dataclass(frozen=True)
class ExperimentTables:
    """What is measured of an experiment."""

    measurements: pd.DataFrame  # one row for each network, snapshot and norm
    families: pd.DataFrame  # see ``analysis.families``: first snapshot and norm
    rescaled: pd.DataFrame  # losses of R f~ for several R (Eq. 6), first snapshot and norm
    histograms: pd.DataFrame  # the largest output of each training example, in bins (Fig. 20): first snapshot and norm
    correct: dict[str, np.ndarray]  # see ``correct_bits``: first snapshot


def write_tables(tables: ExperimentTables, files: Mapping[str, str | Path]) -> None:
    """Write them, each atomically, to the files named by its field."""
    for name in ("measurements", "families", "rescaled", "histograms"):
        write_csv(getattr(tables, name), files[name])
    with atomic(files["correct"]) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **tables.correct)


def measure_experiment(
    experiment: Experiment,
    dataset: Dataset,
    trained: str | Path,
    history: str | Path,
    device: torch.device | str = "cpu",
    data: str = "other",
) -> ExperimentTables:
    """Measure every network of an experiment, and name those that training has lost in a warning.

    Args:
        trained: the file of ``training.write_networks``.
        history: the table of ``training.write_history``, from which the epoch of each snapshot follows.
        device: where the networks compute.
        data: what the data set is, whatever its name (``download.identity``).

    Raises:
        ValueError: the file of networks was written for another configuration.
    """
    specs, states = read_networks(trained)
    for name, spec in ((n.name, n.spec) for n in experiment.networks):
        if specs.get(name) != spec:
            raise ValueError(f"{trained}: {name} has another spec than the configuration")
    epochs = read_csv(history)
    return _Measuring(experiment, Preparation(dataset, device), states, epochs, data).tables()


class _Measuring:
    """One pass over the networks of an experiment: each network's outputs are computed once for all tables."""

    def __init__(
        self,
        experiment: Experiment,
        preparation: Preparation,
        states: dict[str, State],
        history: pd.DataFrame,
        data: str,
    ) -> None:
        self.experiment, self.preparation, self.states = experiment, preparation, states
        self.history, self.data = history, data
        self.epochs = {str(name): rows.to_dict("records") for name, rows in history.groupby("network")}
        self.parents = {n.spec.hash: n.name for n in experiment.pretrainings}
        natural = (n for n in experiment.networks if n.group in experiment.fit_groups and n.spec.labels == "natural")
        self.natural = sorted(natural, key=lambda n: (n.value, n.spec.seed, n.name))  # whatever the configuration's order
        self.rho = self._rho_of_natural_networks()
        self.other_divisors = families.other_divisors(experiment.name, self.rho)
        self.rows: list[dict] = []
        self.family_rows: list[dict] = []
        self.rescaled: list[dict] = []
        self.histograms: list[pd.DataFrame] = []
        self.correct: dict[str, np.ndarray] = {}

    def tables(self) -> ExperimentTables:
        """All of them."""
        self.family_rows += families.untrained(self.experiment, self.natural, self.preparation)
        self.family_rows += families.early(self.natural, self.history)
        for network in self.experiment.networks:
            self._measure(network)
        table = pd.DataFrame(self.rows)
        _warn_of_lost(self.experiment, table)
        family_table = pd.DataFrame([{"experiment": self.experiment.name} | row for row in self.family_rows])
        return ExperimentTables(
            table,
            family_table.reindex(columns=families.COLUMNS),
            pd.DataFrame(self.rescaled),
            pd.concat(self.histograms, ignore_index=True),
            correct_bits(self.correct),
        )

    def _measure(self, network: Network) -> None:
        experiment, spec = self.experiment, network.spec
        examples = self.preparation.examples(spec)
        module = self._module(spec, examples)
        x0 = self.preparation.reference_image(spec, experiment.output_image)
        about = self._about(network, examples, module)
        start = self._module(spec, examples)
        initialize(start, network.pretraining or spec)
        for k, select in enumerate(experiment.select):
            module.load_state_dict(self.states[stored_name(network.name, select, first=k == 0)])
            by_norm, outputs = measurements(module, examples, experiment.norms, x0)
            kept: dict = {"snapshot": select.name, "epoch": select.pick(self.epochs[network.name])["epoch"]}
            kept["met_criterion"] = select.met(float(by_norm[0]["train_loss"]), float(by_norm[0]["train_error"]))
            kept["distance_from_init"] = distance(module, start)
            self.rows += [about | kept | row for row in by_norm]
            if k == 0:
                self._first_snapshot(network, module, outputs, examples, float(by_norm[0]["rho"]), kept["met_criterion"])

    def _first_snapshot(
        self, network: Network, module: nn.Module, outputs: Outputs, examples: Examples, rho: float, met: bool
    ) -> None:
        """What is kept of the first snapshot and norm only."""
        name, experiment = network.name, self.experiment
        self.family_rows += families.of_a_trained_network(name, outputs, examples, self.rho, self.other_divisors)
        if experiment.norms[0] == "output" and name in self.rho:
            images = self.preparation.reference_images(network.spec, experiment.reference_images)
            self.family_rows += families.of_other_images(name, module, outputs, examples, images)
        if network.group in experiment.fit_groups:
            about = _about(experiment, network) | {"pretrained_from": self.parents.get(network.spec.pretrained, "")}
            self.rescaled += families.rescaled_rows(about | {"met_criterion": met}, outputs, examples, rho)
        largest = outputs.train.max(dim=1).values.cpu().numpy()
        self.histograms.append(_histogram(experiment, network, largest / rho))
        self.correct[name] = (outputs.test.argmax(dim=1) == examples.test_y).cpu().numpy()

    def _about(self, network: Network, examples: Examples, module: nn.Module) -> dict:
        dataset = self.preparation.dataset
        about = _about(self.experiment, network) | {"dataset": dataset.name, "data": self.data}
        about |= {"num_classes": dataset.num_classes, "train_size": len(examples.train_y), "test_size": len(examples.test_y)}
        about |= {"num_parameters": num_parameters(module), "pretrained_from": self.parents.get(network.spec.pretrained, "")}
        return about | {"batch_norm": any(isinstance(m, BATCH_NORMS) for m in module.modules())}

    def _rho_of_natural_networks(self) -> dict[str, float]:
        """Of those that met their criterion, by the history, so that it is known before any is measured."""
        select, found = self.experiment.select[0], {}
        for network in self.natural:
            row = select.pick(self.epochs[network.name])
            if select.met(row["train_loss"], row["train_error"]):
                examples = self.preparation.examples(network.spec)
                module = self._module(network.spec, examples)
                module.load_state_dict(self.states[network.name])
                x0 = self.preparation.reference_image(network.spec, self.experiment.output_image)
                found[network.name] = normalizer(module, self.experiment.norms[0], x0)
        return found

    def _module(self, spec: NetworkSpec, examples: Examples) -> nn.Module:
        classes = self.preparation.dataset.num_classes
        return build(spec.architecture, examples.input_shape, classes).to(self.preparation.device)


def _warn_of_lost(experiment: Experiment, table: pd.DataFrame) -> None:
    """Networks that are no result: said once, with their names."""
    last = table.drop_duplicates("network", keep="last")
    for column, what in (
        ("diverged", "diverged: their outputs are no finite numbers"),
        ("dead", "are dead: they answer 0 to every training image, and no gradient reaches them"),
    ):
        names = list(last[last[column]].network)
        if names:
            log.warning("%s: %d of %d networks %s: %s", experiment.name, len(names), len(last), what, ", ".join(names))


def correct_bits(correct: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Which test examples each network classifies correctly, as arrays for an npz file.

    ``networks`` [P] names, ``bits`` [P, ceil(N / 8)] uint8 as ``numpy.packbits`` packs them, ``test_size`` [1] N.
    """
    table = np.stack(list(correct.values()))
    return {"networks": np.array(list(correct)), "bits": np.packbits(table, axis=1), "test_size": np.array([table.shape[1]])}


def _histogram(experiment: Experiment, network: Network, max_outputs: np.ndarray) -> pd.DataFrame:
    finite = max_outputs[np.isfinite(max_outputs)]
    counts, edges = np.histogram(finite, bins=BINS)
    about = {"experiment": experiment.name, "network": network.name, "group": network.group}
    return pd.DataFrame({**about, "low": edges[:-1], "high": edges[1:], "examples": counts})


def _about(experiment: Experiment, network: Network) -> dict:
    return {
        "experiment": experiment.name,
        "network": network.name,
        "group": network.group,
        "axis": network.axis,
        "value": network.value,
        "seed": network.spec.seed,
        "random_labels": network.spec.labels == "random",
    }
