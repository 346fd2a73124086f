"""A made-up run of the whole paper in which what the paper claims is true, to try the rules of claims.yaml on.

Only the rules are tried on it: nothing here is a result, and no figure or table of a run is made from it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from puzzles.analysis import intervals
from puzzles.analysis.fits import fit_experiment
from puzzles.config.configuration import Config
from puzzles.config.experiments import Experiment, Network

CLASSES = {"cifar10": 10, "cifar100": 100, "mnist": 10}
SIZES = {"cifar10": 50_000, "cifar100": 50_000, "mnist": 60_000}
PARAMETERS = {"train_size": 9_370, "init_3layer": 148_160, "init_resnet": 853_018, "init_3layer_gray": 165_784}
SLOPES = {"corruption_3layer": 0.836, "corruption_3layer_fixed_loss": 0.836, "init_3layer_gray": 1.0075}
FITS: dict[tuple, pd.DataFrame] = {}


@dataclass
class World:
    """The tables of the made-up run, free to be changed."""

    config: Config
    networks: pd.DataFrame
    families: pd.DataFrame
    history: pd.DataFrame

    def fits(self, experiments: list[str]) -> pd.DataFrame:
        """The lines through these tables, by the real code."""
        return pd.concat([self._fits(name) for name in experiments], ignore_index=True)

    def _fits(self, name: str) -> pd.DataFrame:
        """The lines of one experiment, kept while neither its table nor the code for intervals is another."""
        table, families = (t[t.experiment == name] for t in (self.networks, self.families))
        key = (name, table.to_csv(), intervals.interval)
        if key not in FITS:
            FITS[key] = fit_experiment(table, families, self.config.experiments[name].fit_groups)
        return FITS[key]


def good_world(config: Config) -> World:
    """Everything as the paper says."""
    draw = np.random.default_rng(0)
    tables = [_measurements(e, draw) for e in config.experiments.values()]
    return World(config, pd.concat(tables, ignore_index=True), _families(config, draw), _history(config))


def _measurements(experiment: Experiment, draw: np.random.Generator) -> pd.DataFrame:
    values = sorted({n.value for n in experiment.networks})
    rows = []
    for network in experiment.networks:
        # a hidden number from 0 (best) to 1 (worst) decides everything else
        level, jitter = values.index(network.value), 0.8 if experiment.name == "corruption_3layer_fixed_loss" else 0.1
        badness = (level + jitter * draw.random()) / max(1, len(values) - 1)
        network_row = _network(experiment, network, badness, draw) | _unrelated_loss(experiment.name, level, draw)
        for select in experiment.select:
            for norm in experiment.norms:
                rows.append({**network_row, "snapshot": select.name, "norm": norm, "epoch": 1, "met_criterion": True})
    return pd.DataFrame(rows)


def _unrelated_loss(name: str, level: int, draw: np.random.Generator) -> dict:
    """Training losses that rise and fall with no regard to the level (multiples of the golden ratio)."""
    spread = (level * 0.618034 + 0.3 + 0.02 * draw.random()) % 1
    if "_bn" in name:
        return {"train_loss": 0.006 * (0.85 + 0.3 * spread)}
    return {"train_loss": 0.0044 if "fixed_loss" in name else 2e-4 + 1.8e-3 * spread}


def _network(experiment: Experiment, network: Network, badness: float, draw: np.random.Generator) -> dict:
    spec, random = network.spec, network.spec.labels == "random"
    classes, resnet = CLASSES[spec.dataset], experiment.name == "init_resnet"
    badness = 1.05 if random and experiment.name != "train_size" else badness
    row = {"experiment": experiment.name, "network": network.name, "group": network.group, "axis": network.axis}
    row |= {"value": network.value, "seed": spec.seed, "random_labels": random, "dataset": spec.dataset}
    row |= {"num_classes": classes, "train_size": spec.train_size or SIZES[spec.dataset], "test_size": 10_000}
    row["pretrained_from"] = f"p{network.value}" if network.pretraining else ""
    row["num_parameters"] = PARAMETERS.get(experiment.name, 188_810)
    if experiment.name == "width":
        row["num_parameters"] = int(34 * network.value**2 + 41 * network.value + 10)
    chance_error = 1 - 1 / classes
    row |= {"train_error": 0.0, "test_error": chance_error if random else 0.3 + 0.2 * badness, "active_units": 1.0}
    row |= {"test_loss": 1 + badness, "rho": 100 * (1 + badness)}
    if "fixed_loss" in experiment.name:
        row["test_error"] = 0.2 + 0.4 * badness
    row["test_error"] = 0.07 + 0.02 * badness if resnet else row["test_error"]
    row |= _normalized(experiment.name, badness, random, np.log(classes), draw)
    if experiment.name in ("train_size", "width"):
        row |= _sizes(experiment.name, row, random)
    row |= {"norm_train_error": row["train_error"], "norm_test_error": row["test_error"], "changed_predictions": 0}
    row["changed_layerwise"] = 0
    row["layers_difference"] = np.nan if resnet or "_bn" in experiment.name else 1e-7
    row |= {f"layer_norm_{k}": row["rho"] ** (1 / 3) for k in (1, 2, 3)}
    row |= {f"margin_train_{s}": 0.01 / (1 + badness) for s in ("min", "p01", "p10")}
    if experiment.name == "init_3layer_gray":
        row["rho"] = 2269.7
    mean, spread = 0.026683, 0.007144
    row |= {"norm_max_output_mean": mean, "norm_max_output_std": spread}
    return row | {"max_output_mean": mean * row["rho"], "max_output_std": spread * row["rho"]}


def _normalized(name: str, badness: float, random: bool, chance: float, draw: np.random.Generator) -> dict:
    if name == "init_resnet":
        x = 1.45 + 0.1 * badness
        return {"norm_train_loss": x, "norm_test_loss": x + 0.05 + 1e-4 * draw.standard_normal()}
    depth = 0.0165 - 0.0125 * badness  # how far the training loss is below that of outputs that are 0
    if name == "init_3layer":
        return {"norm_train_loss": chance - depth, "norm_test_loss": chance - depth + 1.5e-4 + 1e-6 * draw.standard_normal()}
    slope = SLOPES.get(name, 1.0)
    noise = 5e-5 if name in SLOPES else 1e-6
    return {"norm_train_loss": chance - depth, "norm_test_loss": chance - slope * depth + noise * draw.standard_normal()}


def _sizes(name: str, row: dict, random: bool) -> dict:
    """Figures 1, 19 and 3."""
    if name == "width":
        return {"test_error": 0.6 - 0.02 * np.log(row["num_parameters"])}
    size = row["train_size"]
    train_error = 0.0 if size <= 5000 else 0.1 * np.log10(size / 5000)
    test_error = row["test_error"] if random else 0.9 - 0.15 * np.log10(size)
    gap = 0.03 / np.sqrt(size)
    return {"train_error": train_error, "test_error": test_error, "norm_test_loss": row["norm_train_loss"] + gap}


def _families(config: Config, draw: np.random.Generator) -> pd.DataFrame:
    rows = []
    for name in config.experiments:
        count = 5 if name == "init_resnet" else 1
        for family in ["untrained", "one_rescaled", *(f"image_{k}" for k in range(count))]:
            for x in draw.uniform(1.4, 1.6, 5):
                y = x + 0.1 + 1e-3 * draw.standard_normal()
                rows.append({"experiment": name, "family": family, "norm_train_loss": x, "norm_test_loss": y})
    return pd.DataFrame(rows)


def _history(config: Config) -> pd.DataFrame:
    """Normalized loss and test error fall together, the unnormalized training loss is smallest in the middle."""
    rows = []
    for name, experiment in config.experiments.items():
        for network in experiment.networks:
            for epoch in range(8):
                row = {"experiment": name, "network": network.name, "epoch": epoch, "train_error": float(epoch < 2)}
                row |= {"rho": 1 + epoch, "norm_train_loss": 2.3 - 0.001 * epoch, "test_error": 0.6 - 0.01 * epoch}
                rows.append(row | {"train_loss": 0.1 + (epoch - 4.1) ** 2, "test_loss": 1.0, "norm_test_loss": 2.3})
    return pd.DataFrame(rows)
