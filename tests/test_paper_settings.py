"""config.yaml against the settings of the paper, written down once with the source of each value."""

import csv
import json
from collections.abc import Iterator

import pytest
from conftest import ROOT

from puzzles.config.configuration import Config, load_config_files
from puzzles.config.experiments import Experiment, Network
from puzzles.config.specs import NetworkSpec
from puzzles.networks.architectures import build, num_parameters

ROWS = list(csv.DictReader((ROOT / "tests" / "data" / "paper_settings.csv").open()))
INPUTS = {"cifar10": ((3, 32, 32), 10), "cifar100": ((3, 32, 32), 100), "mnist": ((1, 28, 28), 10)}


@pytest.fixture(scope="module")
def plan() -> Config:
    return load_config_files(ROOT / "config.yaml")


def field(spec: NetworkSpec, name: str) -> object:
    """A setting of a spec, or with ``architecture.`` before it, of its architecture."""
    owner, _, rest = name.rpartition(".")
    value = getattr(spec.architecture if owner else spec, rest)
    return list(value) if isinstance(value, tuple) else value


def found(where: str, setting: str, experiment: Experiment, networks: list[Network]) -> Iterator[object]:
    """What the configuration has; for a setting of networks, what each has."""
    if where == "network":
        yield from (field(n.spec, setting) for n in networks)
    elif where == "pretrain" and setting == "shared":
        yield len({n.pretraining.hash for n in networks})
    elif where == "pretrain":
        yield from (field(n.pretraining, setting) for n in networks)
    elif where == "sweep":
        yield networks[0].axis if setting == "axis" else sorted({n.value for n in networks})
    elif where == "seeds":
        seeds = {n.spec.seed for n in networks}
        yield len(seeds if setting == "count" else seeds - set(range(1000)))  # own: unlike those that are listed
    elif where == "steps":
        yield min(n.spec.epochs * -(-n.spec.train_size // n.spec.batch_size) for n in networks)
    elif where == "parameters":
        for spec in {n.spec.architecture: n.spec for n in networks}.values():
            yield num_parameters(build(spec.architecture, *INPUTS[spec.dataset]))
    elif where == "select":
        selects = experiment.select
        yield [s.name for s in selects] if setting == "rules" else max(s.max_train_error for s in selects)
    else:
        yield list(experiment.norms)


@pytest.mark.parametrize(
    "row", ROWS, ids=["-".join(r[k] for k in ("experiment", "group", "where", "setting")) for r in ROWS]
)
def test_the_configuration_has_the_papers_value(plan: Config, row: dict[str, str]) -> None:
    experiment = plan.experiments[row["experiment"]]
    networks = [n for n in experiment.networks if row["group"] in ("", n.group)]
    values = list(found(row["where"], row["setting"], experiment, networks))
    assert values
    assert all(value == json.loads(row["expected"]) for value in values), f"found {values[0]}, {row['source']}"


def test_every_experiment_and_every_source_is_covered(plan: Config) -> None:
    assert {row["experiment"] for row in ROWS} == set(plan.experiments)
    assert all(row["source"].startswith(("PAPER", "REPO", "our choice", "counted")) for row in ROWS)
    assert len({tuple(row[k] for k in ("experiment", "group", "where", "setting")) for row in ROWS}) == len(ROWS)
