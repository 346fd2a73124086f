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
    if "fixed_steps" in experiment.get("groups", {}):
        experiment["groups"]["fixed_steps"] = {"values": [40], "fit": False, "network": {"steps": 12}}
    values = {"train_size": [40, 80], "width": [3, 5]}.get(experiment["sweep"]["axis"], experiment["sweep"]["values"][-2:])
    experiment["sweep"]["values"], experiment["seeds"] = values, [0]
    for group in experiment.get("groups", {}).values():
        if "seeds" in group:
            group["seeds"] = [0]
    return raw


def test_networks_that_training_has_lost_are_named_and_marked(
    raw: dict, digits: Dataset, workdir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    experiment = raw["experiments"]["init_3layer"]
    experiment["network"] = {"dataset": "digits", "architecture": "conv3_64", "init": "gaussian", "train_size": 60}
    experiment["network"] |= {"batch_size": 20, "epochs": 150, "evaluate_every": 10}
    experiment["sweep"]["values"], experiment["norms"] = [0.1], ["l2"]
    experiment["groups"] = {"natural": {}, "wild": {"network": {"lr": 1e9}}}
    experiment["groups"]["dead"] = {"values": [0.7], "network": {"lr": 0.5}}
    raw["architectures"]["conv3_64"] |= {"widths": [6, 6], "kernel": 3, "padding": 1}
    raw["run"]["experiments"], raw["figures"] = ["init_3layer"], {}
    plan = load_config(raw)
    experiment = plan.experiments["init_3layer"]
    train_missing("t", requests_for(experiment.networks, plan), digits, {}, {})
    write_networks("trained.safetensors", experiment.networks, experiment.select, digits.digest)
    write_history("history.csv", experiment, digits.digest)
    table = measure_experiment(experiment, digits, "trained.safetensors", "history.csv").measurements
    rows = table[table.snapshot == "last"].set_index("group")
    assert rows.dead.to_dict() == {"natural": False, "dead": True, "wild": False}
    assert rows.diverged.to_dict() == {"natural": False, "dead": False, "wild": True}
    assert rows.met_criterion.to_dict() == {"natural": True, "dead": False, "wild": False}
    assert rows.train_error.isna().to_dict() == rows.diverged.to_dict()
    assert rows.epoch["dead"] < 150 == rows.epoch["natural"]
    warnings = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert (
        sum("its loss is no finite number" in w for w in warnings)
        == sum("dead, nothing moves it" in w for w in warnings)
        == 1
    )
    assert warnings[2:] == [
        f"init_3layer: 1 of 3 networks diverged: their outputs are no finite numbers: {rows.network['wild']}",
        "init_3layer: 1 of 3 networks are dead: they answer 0 to every training image, and no gradient reaches them: "
        f"{rows.network['dead']}",
    ]


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
