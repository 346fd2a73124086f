"""The measurements of an experiment: one row for each network, snapshot and norm."""

from pathlib import Path

import pandas as pd

from puzzles.csvs import read_csv
from puzzles.data import Dataset, Preparation
from puzzles.experiments import Experiment, Network
from puzzles.measure import measurements, rescaled_losses
from puzzles.networks import build, num_parameters
from puzzles.training import read_networks, stored_name


def measure_experiment(
    experiment: Experiment, dataset: Dataset, trained: str | Path, history: str | Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure every network of an experiment.

    Args:
        trained: the file of ``training.write_networks``.
        history: the table of ``training.write_history``, from which the epoch of each snapshot follows.

    Returns:
        The measurements, one row for each network, snapshot and norm; and the null family "one network rescaled":
        the first network that met its criterion, divided by the rho of each network that did (first snapshot and norm).
    """
    specs, states = read_networks(trained)
    epochs = {name: rows.to_dict("records") for name, rows in read_csv(history).groupby("network")}
    preparation = Preparation(dataset)
    parents = {n.spec.hash: n.name for n in experiment.pretrainings}
    rows, null = [], []
    for network in experiment.networks:
        module = build(network.spec.architecture, _shape(preparation, network), dataset.num_classes)
        examples = preparation.examples(network.spec)
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
    first = table[(table.snapshot == experiment.select[0].name) & (table.norm == experiment.norms[0])]
    first = first[first.met_criterion & first.group.isin(experiment.fit_groups)]
    reference = next((n for n in experiment.networks if n.name in set(first[~first.random_labels].network)), None)
    if reference is not None:
        module = build(reference.spec.architecture, _shape(preparation, reference), dataset.num_classes)
        module.load_state_dict(states[stored_name(reference.name, experiment.select[0], first=True)])
        rescaled = rescaled_losses(module, preparation.examples(reference.spec), list(first.rho))
        null = [{"experiment": experiment.name, "network": reference.name} | row for row in rescaled]
    columns = ["experiment", "network", "rho", "norm_train_loss", "norm_test_loss"]
    return table, pd.DataFrame(null, columns=columns)


def _shape(preparation: Preparation, network: Network) -> tuple[int, int, int]:
    return preparation.examples(network.spec).input_shape


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
