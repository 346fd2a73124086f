"""Figures and the report, drawn from tables of a real small training."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from puzzles import style
from puzzles.config import Config, load
from puzzles.data import Dataset
from puzzles.experiments import Experiment
from puzzles.fits import fit_experiment
from puzzles.plots import _psi_inverse, draw, panel_fits, points, scatter
from puzzles.report import render
from puzzles.tables import measure_experiment
from puzzles.training import ensure_trained, wanted, write_history, write_networks

COLUMNS = [
    "experiment",
    "network",
    "axis",
    "value",
    "seed",
    "random_labels",
    "norm",
    "rho",
    "train_loss",
    "test_loss",
    "train_error",
    "test_error",
    "norm_train_loss",
    "norm_test_loss",
    "num_parameters",
    "train_size",
    "snapshot",
    "epoch",
    "met_criterion",
    "active_units",
    "pretrained_from",
]
COLUMNS += [f"margin_{split}_{s}" for split in ("train", "test") for s in ("min", "p01", "p10", "median", "mean")]


@pytest.fixture(scope="module")
def drawn(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, pd.DataFrame, pd.DataFrame]:
    """A plan, its measurements and its fits: real networks, trained for a second or two."""
    import os

    import yaml

    folder, before = tmp_path_factory.mktemp("drawn"), Path.cwd()
    os.chdir(folder)
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    raw["run"]["experiments"] = ["init_3layer"]
    raw["architectures"]["conv3_64"] = {
        "builder": "conv",
        "widths": [12, 12],
        "kernel": 5,
        "stride": 2,
        "padding": 2,
        "bias": "none",
    }
    experiment = raw["experiments"]["init_3layer"]
    experiment["network"] = {
        "dataset": "digits", "architecture": "conv3_64", "init": "gaussian", "train_size": 100, "batch_size": 20, "lr": 0.05,
        "stop": "until_zero_train_error", "epochs": 5, "max_epochs": 150,
    }  # fmt: skip
    experiment["sweep"]["values"] = [0.05, 0.1, 0.15, 0.2]
    experiment["groups"]["random_labels"]["values"] = [0.1]
    experiment["groups"]["unfinished"] = {"values": [0.1], "network": {"stop": "epochs", "epochs": 1, "max_epochs": 0}}
    plan = load(raw)
    experiment = plan.experiments["init_3layer"]
    try:
        ensure_trained("t", wanted(experiment.networks, plan), digits, {}, {})
        write_networks("trained.safetensors", experiment.networks, experiment.select, digits.digest)
        write_history("history.csv", experiment, digits.digest)
        table, nulls = measure_experiment(experiment, digits, "trained.safetensors", "history.csv")
    finally:
        os.chdir(before)
    return plan, table, fit_experiment(table, nulls, experiment.fit_groups)


def test_measurements_have_the_columns_others_rely_on(drawn: tuple) -> None:
    plan, table, _ = drawn
    assert set(COLUMNS) <= set(table.columns)
    assert len(table) == 6 * 5  # networks, norms
    assert set(table.norm) == {"l2", "l1", "linf", "spectral", "output"}
    assert set(table.network) == {n.name for n in plan.experiments["init_3layer"].networks}
    assert not table.drop(columns="pretrained_from").isna().any().any()
    met = table[table.norm == "l2"].set_index("group").met_criterion
    assert met["natural"].all()
    assert not met["unfinished"].any()


def test_every_norm_gives_the_same_errors_and_its_own_losses(drawn: tuple) -> None:
    _, table, _ = drawn
    for _, rows in table.groupby("network"):
        assert rows.test_error.nunique() == rows.train_loss.nunique() == 1
        assert rows.norm_train_loss.nunique() == 5


def test_the_null_families_are_fitted(drawn: tuple) -> None:
    _, _, fits = drawn
    rows = fits[fits.norm == "l2"].set_index("networks")
    assert rows.loc["untrained", "n"] == 5
    assert rows.loc["one_rescaled", "r2"] > 0.99  # by construction: that is the point of it


@pytest.mark.parametrize("name", ["fig02", "fig04"])
def test_figures_are_drawn_as_png_and_pdf(drawn: tuple, tmp_path: Path, name: str) -> None:
    plan, table, fits = drawn
    for k in range(2):
        draw(plan.figures[name], plan.experiments, table, fits, tmp_path / f"{k}.png", tmp_path / f"{k}.pdf")
    assert (tmp_path / "0.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "0.pdf").read_bytes()[:4] == b"%PDF"
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()


def panel_axes(drawn: tuple, panel: dict) -> tuple[plt.Axes, pd.DataFrame, pd.Series, Experiment]:
    plan, table, fits = drawn
    experiment = plan.experiments["init_3layer"]
    panel = {"experiment": "init_3layer", **panel}
    rows, fit = points(panel, experiment, table), panel_fits(panel, experiment, fits)
    with style.figure(1, 1) as (figure, (ax,)):
        scatter(ax, panel, experiment, rows, fit)
        figure.canvas.draw()
    return ax, rows, fit, experiment


def test_a_panel_shows_every_network_and_the_lines_asked_for(drawn: tuple) -> None:
    panel = {"x": "norm_train_loss", "y": "norm_test_loss", "lines": ["ols", "unit_slope", "diagonal"]}
    ax, rows, fit, _ = panel_axes(drawn, panel | {"paper": {"slope": 0.8, "intercept": 0.4}})
    shown = np.concatenate([c.get_offsets() for c in ax.collections])
    assert sorted(map(tuple, shown)) == sorted(zip(rows.norm_train_loss, rows.norm_test_loss, strict=True))
    lines = {line.get_label(): line for line in ax.lines}
    assert set(lines) == {"least squares", "slope 1", "diagonal", "the paper's line, on its data"}
    x, y = lines["least squares"].get_data()
    assert np.allclose(y, fit.intercept + fit.slope * x)
    x, y = lines["slope 1"].get_data()
    assert np.allclose(y - x, fit.unit_slope_intercept)
    labels = ax.get_legend_handles_labels()[1]
    assert {"random labels", "natural", "missed the criterion"} <= set(labels)
    assert "n = 5" in ax.texts[0].get_text()


def test_a_panel_without_the_random_labels_has_the_line_without_them(drawn: tuple) -> None:
    panel = {"x": "norm_train_loss", "y": "norm_test_loss", "groups": ["natural"], "lines": ["ols"]}
    _, rows, fit, _ = panel_axes(drawn, panel)
    assert set(rows.group) == {"natural"}
    assert fit.networks == "without_random_labels"


def test_axes_say_what_they_show(drawn: tuple) -> None:
    ax, *_ = panel_axes(drawn, {"x": "value", "y": "active_units", "log": "x"})
    assert ax.get_xlabel() == "standard deviation of the initial weights (log scale)"
    assert "active units" in ax.get_ylabel()
    ticks = [t.get_text() for t in ax.get_xticklabels(which="both") if t.get_text()]
    assert len(ticks) == len(set(ticks)) >= 2
    ax, *_ = panel_axes(drawn, {"x": "margin_train_p10", "y": "test_error"})
    assert ax.get_xlabel() == "normalized train margin (p10)"


def test_psi_inverse_is_equation_12() -> None:
    u = np.array([-0.1, 0.0, 0.1, 1.0, 2.0])
    expected = [np.nan, 0, np.sqrt(0.1 * 1.9), 1, 1]
    assert np.allclose(_psi_inverse(u), expected, equal_nan=True)
    x = np.sqrt(0.1 * 1.9)
    assert 1 - np.sqrt(1 - x * x) == pytest.approx(0.1)  # psi(psi^-1(u)) = u


def test_the_report_is_one_page_with_everything_in_it(drawn: tuple, tmp_path: Path) -> None:
    plan, table, fits = drawn
    pictures = {}
    for name in plan.figures:
        pictures[name] = tmp_path / f"{name}.png"
        draw(plan.figures[name], plan.experiments, table, fits, pictures[name], tmp_path / f"{name}.pdf")
    origin = {"examples": 1, "sha256": "", "official": False}
    page = render(
        plan, table, fits, pictures, [{"name": "digits", "origin": "scikit-learn", "train": origin, "test": origin}]
    )
    assert page.count("data:image/png;base64,") == len(plan.figures) == 2
    assert not re.search(r'(src|href)="https?:', page)
    assert "1 network missed the criterion" in page
    assert "differs from the official one" in page
    assert "Figure 2. " in page
