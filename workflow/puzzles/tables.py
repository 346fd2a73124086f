"""The measurements of an experiment: one row for each network, snapshot and norm."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from puzzles.cache import State
from puzzles.csvs import read_csv
from puzzles.data import Dataset, Preparation
from puzzles.experiments import Experiment, Network
from puzzles.measure import measurements, normalizer, rescaled_losses
from puzzles.networks import build, initialize, num_parameters
from puzzles.training import read_networks, stored_name

UNTRAINED_SEED = 10_000  # far from any seed of a configuration


def measure_experiment(
    experiment: Experiment, dataset: Dataset, trained: str | Path, history: str | Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure every network of an experiment.

    Args:
        trained: the file of ``training.write_networks``.
        history: the table of ``training.write_history``, from which the epoch of each snapshot follows.

    Returns:
        The measurements, one row for each network, snapshot and norm; and the null families of ``null_families``.
    """
    specs, states = read_networks(trained)
    epochs = {name: rows.to_dict("records") for name, rows in read_csv(history).groupby("network")}
    preparation = Preparation(dataset)
    parents = {n.spec.hash: n.name for n in experiment.pretrainings}
    rows = []
    for network in experiment.networks:
        examples = preparation.examples(network.spec)
        module = build(network.spec.architecture, examples.input_shape, dataset.num_classes)
        x0 = preparation.reference_image(network.spec, experiment.output_image)
        about = _about(experiment, network, len(examples.train_y)) | {"num_parameters": num_parameters(module)}
        about["pretrained_from"] = parents.get(network.spec.pretrained, "")
        for k, select in enumerate(experiment.select):
            key = stored_name(network.name, select, first=k == 0)
            if specs[key] != network.spec:
                raise ValueError(f"{trained}: {key} has another spec than the configuration")
            module.load_state_dict(states[key])
            for row in measurements(module, examples, experiment.norms, x0):
                kept = {"snapshot": select.name, "epoch": select.pick(epochs[network.name])["epoch"]}
                kept["met_criterion"] = select.met(row["train_loss"], row["train_error"])
                rows.append(about | kept | row)
    table = pd.DataFrame(rows)
    return table, null_families(experiment, preparation, table, states)


def null_families(
    experiment: Experiment, preparation: Preparation, table: pd.DataFrame, states: dict[str, State]
) -> pd.DataFrame:
    """Two families of networks whose line of test on training loss cannot be about generalization.

    ``untrained``: each network of the experiment as initialized (natural labels), from a seed of its own: with one seed for
    all, networks that differ in the scale of the weights only would coincide once normalized.
    ``one_rescaled``: the first network that met its criterion, divided by the rho of each network that did.
    First snapshot and norm; networks with random labels are left out of both, except for their rho.
    """
    num_classes = preparation.dataset.num_classes
    norm, snapshot = experiment.norms[0], experiment.select[0]
    natural = [n for n in experiment.networks if n.group in experiment.fit_groups and n.spec.labels == "natural"]
    rows = []
    for k, network in enumerate(natural):
        spec = replace(network.spec, seed=UNTRAINED_SEED + k, pretrained="")
        examples = preparation.examples(network.spec)
        module = build(spec.architecture, examples.input_shape, num_classes)
        initialize(module, spec)
        x0 = preparation.reference_image(spec, experiment.output_image)
        scale = normalizer(module, norm, x0)
        (row,) = rescaled_losses(module, examples, [scale])
        rows.append({"family": "untrained", "network": network.name} | row)
    first = table[(table.snapshot == snapshot.name) & (table.norm == norm) & table.met_criterion]
    reference = next((n for n in natural if n.name in set(first.network)), None)
    if reference is not None:
        examples = preparation.examples(reference.spec)
        module = build(reference.spec.architecture, examples.input_shape, num_classes)
        module.load_state_dict(states[stored_name(reference.name, snapshot, first=True)])
        scales = list(first[first.group.isin(experiment.fit_groups)].rho)
        rescaled = rescaled_losses(module, examples, scales)
        rows += [{"family": "one_rescaled", "network": reference.name} | row for row in rescaled]
    columns = ["experiment", "family", "network", "rho", "norm_train_loss", "norm_test_loss"]
    return pd.DataFrame([{"experiment": experiment.name} | row for row in rows], columns=columns)


def _about(experiment: Experiment, network: Network, train_size: int) -> dict:
    return {
        "experiment": experiment.name,
        "network": network.name,
        "group": network.group,
        "axis": network.axis,
        "value": network.value,
        "seed": network.spec.seed,
        "random_labels": network.spec.labels == "random",
        "train_size": train_size,
    }
