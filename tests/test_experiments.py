"""Every experiment of the paper's configuration, cut down to seconds: it trains, is measured and fitted."""

from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from puzzles.analysis.fits import fit_experiment
from puzzles.analysis.tables import measure_experiment
from puzzles.config.configuration import load_config
from puzzles.config.specs import Select
from puzzles.data.dataset import Dataset
from puzzles.training.experiment_files import read_networks, read_pretrained, write_history, write_networks
from puzzles.training.missing import requests_for, train_missing

EXPERIMENTS = list(yaml.safe_load((ROOT / "config.yaml").read_text())["experiments"])


def cut_down(raw: dict, name: str) -> dict:
    """One or two networks of each group, on a few digits, for two epochs."""
    experiment = raw["experiments"][name]
    raw["run"]["experiments"] = [name]
    raw["architectures"]["resnet56"]["depth"] = 8
    few = {"dataset": "digits", "image_size": 12, "train_size": 60, "batch_size": 16, "epochs": 2, "evaluate_every": 1}
    for network in (experiment["network"], *(g["network"] for g in experiment.get("groups", {}).values() if "network" in g)):
        network |= few | ({"max_epochs": 3} if "max_epochs" in network else {})
        network.pop("input_mean", None)
        network.pop("input_std", None)
    if "pretrain" in experiment:
        experiment["pretrain"] |= {"batch_size": 16, "epochs": 1}
    values = {"train_size": [40, 80], "width": [3, 5]}.get(experiment["sweep"]["axis"], experiment["sweep"]["values"][-2:])
    experiment["sweep"]["values"], experiment["seeds"] = values, [0]
    for group in experiment.get("groups", {}).values():
        if "seeds" in group:
            group["seeds"] = [0]
    return raw


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_runs_from_training_to_fits(raw: dict, digits: Dataset, workdir: Path, name: str) -> None:
    plan = load_config(cut_down(raw, name))
    experiment = plan.experiments[name]
    pretrained = {}
    if experiment.pretrainings:
        train_missing("p", requests_for(experiment.pretrainings, plan), digits, {}, {})
        write_networks("pretrained.safetensors", experiment.pretrainings, [Select("last")], digits.digest)
        pretrained = read_pretrained("pretrained.safetensors")
    train_missing("t", requests_for(experiment.networks, plan), digits, pretrained, {})
    write_networks("trained.safetensors", experiment.networks, experiment.select, digits.digest)
    write_history("history.csv", experiment, digits.digest)
    tables = measure_experiment(experiment, digits, "trained.safetensors", "history.csv")
    table = tables.measurements

    assert len(table) == len(experiment.networks) * len(experiment.select) * len(experiment.norms)
    assert len(read_networks("trained.safetensors")[0]) == len(experiment.networks) * len(experiment.select)
    losses = table[["train_loss", "test_loss", "norm_train_loss", "norm_test_loss"]]
    assert losses.notna().all().all()
    parents = {n.name for n in experiment.pretrainings}
    fine_tuned = {n.name for n in experiment.networks if n.pretraining is not None}
    assert set(table[table.network.isin(fine_tuned)].pretrained_from) == parents
    assert set(table[~table.network.isin(fine_tuned)].pretrained_from) <= {""}
    fits = fit_experiment(table, tables.families, experiment.fit_groups)
    assert set(fits.norm) == {"none", *experiment.norms}
    assert set(tables.histograms.groupby("network").examples.sum()) == set(table.train_size)
