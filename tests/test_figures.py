"""Figures, drawn from tables of a real small training."""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from puzzles.analysis.columns import WITHOUT
from puzzles.analysis.experiment_analyses import analyse_experiment
from puzzles.analysis.fits import fit_experiment
from puzzles.analysis.tables import measure_experiment
from puzzles.base.csvs import read_csv, read_tables
from puzzles.config.configuration import POOLED, TABLE_PANELS, Config, load_config, load_config_files
from puzzles.data.dataset import Dataset
from puzzles.output import evidence_panels, style
from puzzles.output.axes import _psi_inverse
from puzzles.output.descriptions import describe
from puzzles.output.panels import colour_scale
from puzzles.output.plots import FORMATS, FigureTables, _swept, draw, draw_panel, panel_fits, points
from puzzles.training.experiment_files import write_history, write_networks
from puzzles.training.missing import requests_for, train_missing

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
COLUMNS += ["dataset", "num_classes", "test_size", "group", "norm_train_error", "norm_test_error", "changed_predictions"]
COLUMNS += ["layers_difference", "layer_norm_1", "layer_norm_3", "max_output_mean", "norm_max_output_std"]
COLUMNS += [f"margin_{split}_{s}" for split in ("train", "test") for s in ("min", "p01", "p10", "median", "mean")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the trained networks are."""
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture(scope="module")
def drawn(digits: Dataset, folder: Path) -> tuple[Config, FigureTables]:
    """A plan and the tables that figures are drawn from: real networks, trained for a second or two."""
    import os

    import yaml

    before = Path.cwd()
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
    experiment["sweep"]["values"], experiment["select"] = [0.05, 0.1, 0.15, 0.2], ["last"]
    experiment["groups"]["random_labels"]["values"] = [0.1]
    del experiment["groups"]["large_std"]
    experiment["groups"]["unfinished"] = {"values": [0.1], "network": {"stop": "epochs", "epochs": 1, "max_epochs": 0}}
    plan = load_config(raw)
    experiment = plan.experiments["init_3layer"]
    try:
        train_missing("t", requests_for(experiment.networks, plan), digits, {}, {})
        write_networks("trained.safetensors", experiment.networks, experiment.select, digits.digest)
        write_history("history.csv", experiment, digits.digest)
        tables = measure_experiment(experiment, digits, "trained.safetensors", "history.csv")
    finally:
        os.chdir(before)
    history = read_csv(folder / "history.csv")
    analysed = analyse_experiment(tables.measurements, tables.families, tables.rescaled, history, experiment.fit_groups)
    found = {name: getattr(tables, name) for name in ("measurements", "families", "histograms")} | analysed
    return plan, read_tables(FigureTables, found.__getitem__)


def unpack(drawn: tuple) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    tables = drawn[1]
    return tables.measurements, tables.fits, tables.histograms


def test_measurements_have_the_columns_others_rely_on(drawn: tuple) -> None:
    plan, (table, _, _) = drawn[0], unpack(drawn)
    assert set(COLUMNS) <= set(table.columns)
    assert len(table) == 6 * 6  # networks, norms
    assert set(table.norm) == {"l2", "l2_biases", "l1", "linf", "spectral", "output"}
    assert set(table.network) == {n.name for n in plan.experiments["init_3layer"].networks}
    assert not table[table.norm != "output"].drop(columns="pretrained_from").isna().any().any()
    met = table[table.norm == "l2"].set_index("group").met_criterion
    assert met["natural"].all()
    assert not met["unfinished"].any()


def test_every_norm_gives_the_same_errors_and_its_own_losses(drawn: tuple) -> None:
    table, _, _ = unpack(drawn)
    for _, rows in table.groupby("network"):
        assert rows.test_error.nunique() == rows.train_loss.nunique() == 1
        assert rows.norm_train_loss.nunique() == 5  # without biases, l2_biases is l2


def test_the_null_families_are_fitted(drawn: tuple) -> None:
    _, fits, _ = unpack(drawn)
    rows = fits[fits.norm == "l2"].set_index("networks")
    assert rows.loc["untrained", "n"] == 5
    assert rows.loc["one_rescaled", "r2"] > 0.99  # by construction: that is the point of it


def test_the_order_of_the_configuration_changes_no_number(drawn: tuple, folder: Path, digits: Dataset) -> None:
    experiment = drawn[0].experiments["init_3layer"]
    backwards = replace(experiment, networks=experiment.networks[::-1])
    tables = measure_experiment(backwards, digits, folder / "trained.safetensors", folder / "history.csv")
    fits = fit_experiment(tables.measurements, tables.families, backwards.fit_groups)
    pd.testing.assert_frame_equal(fits, drawn[1].fits, check_exact=True)


FIGURES = {
    "scatter": {"title": "t", "panels": [{"experiment": "init_3layer", "x": "rho", "y": "test_error", "log": "x"}]},
    "all kinds": {
        "title": "t",
        "panels": [
            {"experiment": "init_3layer", "x": "norm_train_loss", "y": "norm_test_loss", "lines": ["ols", "unit_slope"]},
            {"experiment": "init_3layer", "kind": "series", "x": "value", "y": ["train_error", "test_error", "error_gap"]},
            {"experiment": "init_3layer", "kind": "histogram", "groups": ["natural"], "x": "norm_max_output"},
            *({"experiment": "init_3layer", "kind": kind} for kind in TABLE_PANELS),
            {"experiments": ["init_3layer"], "kind": POOLED},
        ],
    },
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_drawn_the_same_to_the_byte_in_every_format(drawn: tuple, tmp_path: Path, name: str) -> None:
    plan, tables = drawn
    for k in range(2):
        draw(FIGURES[name], plan.experiments, tables, *(tmp_path / f"{k}{suffix}" for suffix in FORMATS))
    for suffix, start in zip(FORMATS, (b"\x89PNG", b"%PDF", b"<?xml"), strict=True):
        first = (tmp_path / f"0{suffix}").read_bytes()
        assert first.startswith(start)
        assert first == (tmp_path / f"1{suffix}").read_bytes()


def test_figures_depend_on_nothing_of_the_users_matplotlib(drawn: tuple, tmp_path: Path) -> None:
    plan, tables = drawn
    draw(FIGURES["scatter"], plan.experiments, tables, tmp_path / "0.png", tmp_path / "0.pdf")
    with plt.rc_context({"font.family": "serif", "axes.facecolor": "pink", "lines.linewidth": 9, "savefig.bbox": "tight"}):
        draw(FIGURES["scatter"], plan.experiments, tables, tmp_path / "1.png", tmp_path / "1.pdf")
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()


def panel_axes(drawn: tuple, panel: dict) -> tuple[plt.Axes, pd.DataFrame, pd.Series]:
    plan, tables = drawn
    experiment = plan.experiments["init_3layer"]
    panel = {"experiment": "init_3layer", **panel}
    with style.figure(1, 1) as (figure, (ax,)):
        draw_panel(ax, panel, experiment, tables)
        figure.canvas.draw()
    fit = panel_fits(panel, experiment, tables.fits) if "x" in panel else None
    return ax, points(panel, experiment, tables.measurements), fit


def test_pooled_predictors_show_the_mean_and_the_worst_experiment() -> None:
    taus = {"a": {"rho": 0.5, "epoch": -1.0}, "b": {"rho": 0.1, "epoch": 0.4}}
    rows = [
        {"experiment": e, "networks": WITHOUT, "norm": norm, "predictor": p, "tau": tau if norm == "l2" else 0.9}
        for e, found in taus.items()
        for norm in ("l2", "l1")
        for p, tau in found.items()
    ]
    table = pd.DataFrame(rows).assign(within_tau=np.nan, partial_tau=np.nan)
    with style.figure(1, 1) as (_, (ax,)):
        evidence_panels.pooled_predictors(ax, {"title": "t"}, table)
        drawn = {(line.get_label(), line.get_ydata()[0]): list(line.get_xdata()) for line in ax.get_lines()}
        names = {int(label.get_position()[1]): label.get_text() for label in ax.get_yticklabels()}
    assert names == {0: "number of epochs", 1: "product of norms ρ"}
    assert drawn["worst to best experiment", 1] == [0.1, 0.5]
    assert drawn["mean", 1] == pytest.approx([0.3])
    assert drawn["one experiment", 0] == [-1.0, 0.4]


def test_a_panel_shows_every_network_and_the_lines_asked_for(drawn: tuple) -> None:
    panel = {"x": "norm_train_loss", "y": "norm_test_loss", "lines": ["ols", "unit_slope", "diagonal"]}
    ax, rows, fit = panel_axes(drawn, panel | {"paper": {"slope": 0.8, "intercept": 0.4}})
    shown = np.concatenate([c.get_offsets() for c in ax.collections])
    assert sorted(map(tuple, shown)) == sorted(zip(rows.norm_train_loss, rows.norm_test_loss, strict=True))
    lines = {line.get_label(): line for line in ax.lines}
    assert set(lines) == {"least squares", "slope 1", "diagonal", "the paper's line, on its data"}
    x, y = lines["least squares"].get_data()
    assert np.allclose(y, fit.intercept + fit.slope * x)
    x, y = lines["slope 1"].get_data()
    assert np.allclose(y - x, fit.unit_slope_intercept)
    labels = ax.get_legend_handles_labels()[1]
    assert {"random labels", "natural labels", "missed the criterion"} <= set(labels)
    assert "n = 5" in ax.get_title(loc="left")


def test_a_panel_without_the_random_labels_has_the_line_without_them(drawn: tuple) -> None:
    panel = {"x": "norm_train_loss", "y": "norm_test_loss", "groups": ["natural"], "lines": ["ols"]}
    _, rows, fit = panel_axes(drawn, panel)
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


def test_a_series_shows_means_ranges_and_who_missed_the_criterion(drawn: tuple) -> None:
    panel = {"kind": "series", "groups": ["natural", "unfinished"], "x": "value", "y": ["train_error", "test_error"]}
    ax, rows, _ = panel_axes(drawn, panel | {"lines": ["chance"]})
    means = rows.groupby("value").test_error.mean()
    shown = [line for line in ax.lines if np.array_equal(line.get_xdata(), means.index)]
    assert any(np.allclose(line.get_ydata(), means) for line in shown)
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert [list(line.get_xdata()) for line in hollow] == [[0.1], [0.1]]  # the unfinished network, in both columns
    assert ax.get_ylabel() == "error"


def test_random_labels_beside_natural_ones_are_stars_in_a_series(drawn: tuple) -> None:
    ax, rows, _ = panel_axes(drawn, {"kind": "series", "x": "value", "y": "test_loss", "log": "y"})
    (star,) = [line for line in ax.lines if line.get_marker() == "*"]
    random = rows[rows.random_labels].iloc[0]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (random.value, random.test_loss)


def test_a_histogram_counts_every_training_example(drawn: tuple) -> None:
    panel = {"kind": "histogram", "groups": ["unfinished"]}
    for x in ("norm_max_output", "max_output"):
        ax, rows, _ = panel_axes(drawn, panel | {"x": x})
        (outline,) = ax.patches
        counts, edges, _ = outline.get_data()
        assert counts.sum() == rows.train_size.iloc[0]
        middle = np.average((edges[:-1] + edges[1:]) / 2, weights=counts)
        assert middle == pytest.approx(rows[f"{x}_mean"].iloc[0], rel=0.05)


def test_levels_are_drawn_only_where_they_can_be_seen(drawn: tuple) -> None:
    panel = {
        "kind": "series",
        "groups": ["natural"],
        "x": "num_parameters",
        "y": "train_error",
        "lines": ["threshold", "chance"],
    }
    ax, _, _ = panel_axes(drawn, panel)
    assert not {"chance", "as many parameters as examples"} & set(ax.get_legend_handles_labels()[1])
    ax, _, _ = panel_axes(drawn, {"kind": "series", "x": "value", "y": "test_error", "lines": ["chance"]})
    (line,) = [line for line in ax.lines if line.get_label() == "chance"]
    assert line.get_ydata()[0] == 0.9


def test_the_depths_of_networks_and_of_null_families_are_shown_as_they_are(drawn: tuple) -> None:
    ax, rows, _ = panel_axes(drawn, {"kind": "families"})
    labels = [c.get_label() for c in ax.collections]
    assert {"untrained", "early", "permuted rho", "common constant", "one rescaled"} <= set(labels)
    own = ax.collections[labels.index("each by its own ρ")].get_offsets()
    natural = rows[~rows.random_labels & rows.met_criterion]
    assert np.allclose(np.sort(own, axis=0), np.sort(natural[["depth_train", "depth_test"]], axis=0))
    through = next(line for line in ax.lines if line.get_label() == "through the pivot")
    assert np.allclose(through.get_ydata() / through.get_xdata(), natural.margin_ratio.median())


def test_a_table_that_a_run_lacks_is_said_and_not_drawn(drawn: tuple) -> None:
    plan, tables = drawn
    older = replace(tables, rescaling=pd.DataFrame())
    with style.figure(1, 1) as (_, (ax,)):
        draw_panel(ax, {"experiment": "init_3layer", "kind": "rescaling"}, plan.experiments["init_3layer"], older)
        assert [text.get_text() for text in ax.texts] == ["not measured in this run"]


def drawn_with(drawn: tuple, panel: dict, **columns: object) -> plt.Axes:
    """A panel of measurements of which some columns are replaced: by values, or by a function of the table."""
    plan, tables = drawn
    table = tables.measurements
    table = table.assign(**{name: value(table) if callable(value) else value for name, value in columns.items()})
    experiment = plan.experiments["init_3layer"]
    with style.figure(1, 1) as (figure, (ax,)):
        draw_panel(ax, {"experiment": "init_3layer", **panel}, experiment, replace(tables, measurements=table))
        figure.canvas.draw()
    return ax


def test_losses_next_to_ln_c_are_counted_from_it(drawn: tuple) -> None:
    rows, chance = drawn[1].measurements, np.log(10)
    losses = {f"norm_{split}_loss": chance - 1e-4 * k * (1 + rows.value) for k, split in ((3, "train"), (2, "test"))}
    plan, tables = drawn
    measurements = rows.assign(**losses)
    fits = fit_experiment(
        measurements,
        pd.DataFrame(columns=["family", "norm_train_loss", "norm_test_loss"]),
        plan.experiments["init_3layer"].fit_groups,
    )
    panel = {"x": "norm_train_loss", "y": "norm_test_loss", "lines": ["ols"]}
    ax = drawn_with((plan, replace(tables, fits=fits)), panel, **losses)
    shown = np.concatenate([c.get_offsets() for c in ax.collections])
    assert shown.min() == pytest.approx(-3e-4 * 1.2)
    (line,) = [line for line in ax.lines if line.get_label() == "least squares"]
    assert np.allclose(line.get_ydata(), 2 / 3 * line.get_xdata(), atol=1e-9)
    assert "slope 0.667" in ax.get_title(loc="left")
    assert r"$\ln C$" in ax.get_xlabel() and "10^{-4}" in ax.get_xlabel() and r"$\ln C$" in ax.get_ylabel()
    ticks = [t.get_text() for t in ax.get_xticklabels()]
    assert len(set(ticks)) == len(ticks) >= 2 and max(map(len, ticks)) <= 5
    far = drawn_with(drawn, panel, norm_train_loss=lambda t: chance - 0.1 * (1 + t.value))
    assert "C" not in far.get_xlabel().replace("scale", "")


def test_a_network_that_missed_does_not_squeeze_the_others(drawn: tuple) -> None:
    panel = {"x": "train_loss", "y": "test_loss"}
    far = {"train_loss": lambda t: t.train_loss.where(t.met_criterion, 500.0)}
    ax = drawn_with(drawn, panel, **far)
    assert "1 that missed the criterion is outside" in ax.get_title(loc="left")
    assert ax.get_xlim()[1] < 10
    assert "missed the criterion" not in ax.get_legend_handles_labels()[1]
    near = {"train_loss": lambda t: t.train_loss.where(t.met_criterion, t.train_loss[t.met_criterion].max())}
    assert "missed the criterion" in drawn_with(drawn, panel, **near).get_legend_handles_labels()[1]


def test_no_straight_line_is_drawn_on_logarithmic_axes(drawn: tuple) -> None:
    ax, _, fit = panel_axes(drawn, {"x": "train_loss", "y": "test_loss", "log": "xy", "lines": ["ols"]})
    assert [line.get_label() for line in ax.lines] == []
    assert ax.get_title(loc="left") == f"$R^2$ = {style.r_squared_text(fit.r2)}, n = {fit.n:.0f}"


def test_curves_start_where_their_axis_does(drawn: tuple) -> None:
    ax, rows, _ = panel_axes(drawn, {"x": "norm_train_loss", "y": "test_error", "lines": ["psi_inverse"]})
    (curve,) = ax.lines
    assert (curve.get_xdata()[0], curve.get_ydata()[0]) == (rows.norm_train_loss.min(), 0)
    assert ax.get_ylim()[0] == 0 and ax.get_ylim()[1] > curve.get_ydata().max()
    ax, rows, _ = panel_axes(drawn, {"x": "rho", "y": "test_error", "lines": ["bound"]})
    (line,) = ax.lines
    assert (ax.get_xlim()[0], ax.get_ylim()[0], line.get_xdata()[0], line.get_ydata()[0]) == (0, 0, 0, 0)
    assert (line.get_ydata()[-1] / line.get_xdata()[-1] * rows.rho >= rows.test_error - 1e-12).all()


def test_colours_span_the_networks_shown_and_no_others(drawn: tuple) -> None:
    plan, tables = drawn
    panel = {"experiment": "init_3layer", "x": "rho", "y": "test_error"}
    swept = _swept([{**panel, "groups": ["random_labels"]}], plan.experiments, tables)["init_3layer"]
    assert set(swept) == {0.1}
    swept = _swept([panel], plan.experiments, tables)["init_3layer"]
    assert (colour_scale(swept).vmin, colour_scale(swept).vmax) == (0.05, 0.2)


def test_hollow_points_are_explained_and_networks_have_one_name(drawn: tuple) -> None:
    series = {"kind": "series", "x": "value", "y": ["train_error"]}
    ax, *_ = panel_axes(drawn, {**series, "groups": ["natural", "unfinished"]})
    assert "hollow: missed the criterion" in ax.get_legend_handles_labels()[1]
    ax, *_ = panel_axes(drawn, {**series, "groups": ["natural"]})
    assert "hollow: missed the criterion" not in ax.get_legend_handles_labels()[1]
    paper = load_config_files(ROOT / "config.yaml").experiments
    assert style.group_label("natural", paper["init_bn"]) == "natural labels"
    for name in ("corruption_3layer", "corruption_bn"):
        labels = [style.group_label(group, paper[name]) for group in ("natural", "pretrained")]
        assert labels == ["not pretrained", "pretrained on corrupted labels"]


def test_a_figure_is_described_by_its_numbers(drawn: tuple) -> None:
    plan, tables = drawn
    panels = [{"title": "t", "experiment": "init_3layer", "x": "norm_train_loss", "y": "norm_test_loss", "lines": ["ols"]}]
    panels += [{**panel, "title": panel.get("title", "")} for panel in FIGURES["all kinds"]["panels"][1:]]
    described = describe(replace(plan, figures={"fig99": {"title": "t", "panels": panels}}), "fig99", tables)
    fit = panel_fits({"x": "norm_train_loss"}, plan.experiments["init_3layer"], tables.fits)
    assert f"slope {fit.slope:.3g}, R² {style.r_squared_text(fit.r2)}" in described
    rows = points({"experiment": "init_3layer"}, plan.experiments["init_3layer"], tables.measurements)
    natural = rows[~rows.random_labels & rows.met_criterion]
    assert f"median ratio r of test to training depth {natural.margin_ratio.median():.3g}" in described
    assert "nan" not in described.split("Panel 4")[0]
