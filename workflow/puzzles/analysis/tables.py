"""The tables of an experiment: measurements of its networks, and of families of networks to compare them with."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from puzzles.base.csvs import read_csv
from puzzles.config.experiments import Experiment, Network
from puzzles.config.specs import NetworkSpec
from puzzles.data.dataset import Dataset
from puzzles.data.preparation import Examples, Preparation
from puzzles.networks.architectures import build, initialize, num_parameters
from puzzles.networks.measure import measurements, normalizer, output_norms, rescaled_losses
from puzzles.training.cache import State
from puzzles.training.experiment_files import read_networks, stored_name

UNTRAINED_SEED = 10_000  # far from any seed of a configuration
BINS = 50  # of a histogram


@dataclass(frozen=True)
class ExperimentTables:
    """The tables of one experiment."""

    measurements: pd.DataFrame  # one row for each network, snapshot and norm
    families: pd.DataFrame  # see ``families``
    histograms: pd.DataFrame  # the largest output of each training example, in bins (Fig. 20): first snapshot and norm


def measure_experiment(
    experiment: Experiment, dataset: Dataset, trained: str | Path, history: str | Path, device: torch.device | str = "cpu"
) -> ExperimentTables:
    """Measure every network of an experiment.

    Args:
        trained: a file of ``experiment_files.write_networks``.
        history: the table of ``experiment_files.write_history``, which gives the epoch of each snapshot.
        device: where the networks compute.

    Raises:
        ValueError: the file of networks was written for another configuration.
    """
    specs, states = read_networks(trained)
    epochs = {name: rows.to_dict("records") for name, rows in read_csv(history).groupby("network")}
    preparation = Preparation(dataset, device)
    parents = {n.spec.hash: n.name for n in experiment.pretrainings}
    rows, histograms = [], []
    for network in experiment.networks:
        examples = preparation.examples(network.spec)
        module = _module(network.spec, examples, preparation)
        x0 = preparation.reference_image(network.spec, experiment.output_image)
        about = _about(experiment, network) | {"dataset": dataset.name, "num_classes": dataset.num_classes}
        about |= {"train_size": len(examples.train_y), "test_size": len(examples.test_y)}
        about |= {"num_parameters": num_parameters(module), "pretrained_from": parents.get(network.spec.pretrained, "")}
        for k, select in enumerate(experiment.select):
            key = stored_name(network.name, select, first=k == 0)
            if specs[key] != network.spec:
                raise ValueError(f"{trained}: {key} has another spec than the configuration")
            module.load_state_dict(states[key])
            by_norm, max_outputs = measurements(module, examples, experiment.norms, x0)
            for row in by_norm:
                kept = {"snapshot": select.name, "epoch": select.pick(epochs[network.name])["epoch"]}
                kept["met_criterion"] = select.met(float(row["train_loss"]), float(row["train_error"]))
                rows.append(about | kept | row)
            if k == 0:
                histograms.append(_histogram(experiment, network, max_outputs / by_norm[0]["rho"]))
    table = pd.DataFrame(rows)
    return ExperimentTables(
        table, families(experiment, preparation, table, states), pd.concat(histograms, ignore_index=True)
    )


def families(
    experiment: Experiment, preparation: Preparation, table: pd.DataFrame, states: dict[str, State]
) -> pd.DataFrame:
    """Families to compare with the line of test on training loss: first snapshot and norm, natural labels.

    ``untrained``: each network of the experiment before training, from a seed of its own (with one seed for all, networks
    that differ only in the scale of their weights would be equal once normalized). ``one_rescaled``: the first network that
    met its criterion, divided by the rho of each network that did. The lines of these two cannot show generalization.
    ``image_<k>``, only with the norm ``output``: every network, divided by its output norm for training image k.
    """
    norm, snapshot = experiment.norms[0], experiment.select[0]
    natural = [n for n in experiment.networks if n.group in experiment.fit_groups and n.spec.labels == "natural"]
    first = table[(table.snapshot == snapshot.name) & (table.norm == norm) & table.met_criterion]
    met = [n for n in natural if n.name in set(first.network)]

    def trained(network: Network) -> tuple[nn.Module, Examples]:
        examples = preparation.examples(network.spec)
        module = _module(network.spec, examples, preparation)
        module.load_state_dict(states[stored_name(network.name, snapshot, first=True)])
        return module, examples

    rows = [_untrained(k, network, experiment, preparation) for k, network in enumerate(natural)]
    if met:
        scales = list(first[first.group.isin(experiment.fit_groups)].rho)
        rescaled = rescaled_losses(*trained(met[0]), scales)
        rows += [{"family": "one_rescaled", "network": met[0].name} | row for row in rescaled]
    for network in met if norm == "output" else []:
        module, examples = trained(network)
        images = preparation.reference_images(network.spec, experiment.reference_images)
        rescaled = rescaled_losses(module, examples, output_norms(module, images))
        rows += [{"family": f"image_{k}", "network": network.name} | row for k, row in enumerate(rescaled)]
    columns = ["experiment", "family", "network", "rho", "norm_train_loss", "norm_test_loss"]
    return pd.DataFrame([{"experiment": experiment.name} | row for row in rows], columns=columns)


def _untrained(k: int, network: Network, experiment: Experiment, preparation: Preparation) -> dict:
    spec = replace(network.spec, seed=UNTRAINED_SEED + k, pretrained="")
    examples = preparation.examples(network.spec)
    module = _module(spec, examples, preparation)
    initialize(module, spec)
    scale = normalizer(module, experiment.norms[0], preparation.reference_image(spec, experiment.output_image))
    (row,) = rescaled_losses(module, examples, [scale])
    return {"family": "untrained", "network": network.name} | row


def _module(spec: NetworkSpec, examples: Examples, preparation: Preparation) -> nn.Module:
    return build(spec.architecture, examples.input_shape, preparation.dataset.num_classes).to(preparation.device)


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
