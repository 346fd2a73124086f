"""Load a configuration: validate it before anything runs, then expand its sweeps into networks."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from puzzles.base.errors import ConfigError
from puzzles.config.checks import check_schema, expect_known
from puzzles.config.expand import expand
from puzzles.config.experiments import Experiment
from puzzles.config.own_code import locate_builders
from puzzles.config.specs import NetworkSpec, Select

TABLE_PANELS = ("families", "rescaling", "predictors", "monitoring")  # kinds of panel, each drawn from a table of its own
POOLED = "pooled_predictors"  # the kind of panel that is about several experiments


@dataclass(frozen=True)
class Config:
    """A validated configuration."""

    raw: dict
    run: str
    experiments: dict[str, Experiment]  # those of this run
    figures: dict[str, dict]  # without the panels of experiments that are not in this run

    @property
    def runtime(self) -> dict:
        """How to train; never part of a spec."""
        return self.raw.get("runtime", {})

    def snapshots(self, spec: NetworkSpec) -> list[Select]:
        """All snapshots of a network that experiments of this run need, so that it is trained only once."""
        found = {Select("last").name: Select("last")}
        return list((found | self._selects.get(spec.hash, {})).values())

    @cached_property
    def _selects(self) -> dict[str, dict[str, Select]]:
        """Every snapshot asked for, by hash of the spec and name."""
        found: dict[str, dict[str, Select]] = {}
        for experiment in self.experiments.values():
            for network in experiment.networks:
                found.setdefault(network.spec.hash, {}).update({s.name: s for s in experiment.select})
        return found

    def check_targets(self, words: Iterable[str]) -> None:
        """Raise an error if a word asks for a figure that this run does not draw.

        Raises:
            ConfigError: there is no such figure, or its experiments are not part of this run.
        """
        for word in words:
            if not re.fullmatch(r"fig(?!ures$)[A-Za-z0-9_]+", word) or word in self.figures:
                continue
            if word not in self.raw["figures"]:
                raise ConfigError(f"{word}: found no such figure, expected one of: {', '.join(sorted(self.figures))}")
            needed = ", ".join(_panels_experiments(self.raw["figures"][word]))
            raise ConfigError(f"{word}: needs {needed}, expected under run.experiments; found {', '.join(self.experiments)}")

    def figure_experiments(self, figure: str) -> list[str]:
        """The experiments that a figure is drawn from, in the order of its panels."""
        return _panels_experiments(self.figures[figure])


def load_config(raw: dict) -> Config:
    """Validate a configuration (as YAML gives it) and expand its experiments.

    Raises:
        ConfigError: one line with the key, what was found and what was expected.
    """
    raw = check_schema(_without_nulls(raw))
    known = list(raw["experiments"])
    chosen = raw["run"].get("experiments", "all")
    chosen = known if chosen == "all" else chosen
    for name in chosen:
        expect_known("run.experiments", name, known, "experiment")
    experiments = {name: expand(name, raw) for name in chosen}
    for name, figure in raw["figures"].items():
        _check_figure(name, figure, experiments, known)
    figures = {name: _of_this_run(figure, chosen) for name, figure in raw["figures"].items()}
    figures = {name: _with_notes(f, experiments, raw["datasets"]) for name, f in figures.items() if f["panels"]}
    return Config(raw, raw["run"]["name"], experiments, figures)


def load_config_files(*paths: str | Path) -> Config:
    """``load_config`` for YAML files, later ones laid over earlier ones (``snakemake --configfile`` does the same).

    Raises:
        ConfigError: as ``load_config``.
    """
    merged: dict = {}
    for path in paths:
        merged = _merge(merged, yaml.safe_load(Path(path).read_text()))
    locate_builders(merged.get("architectures") or {}, paths)
    return load_config(merged)


def as_overlay(raw: dict, below: dict) -> dict:
    """Settings that give the same run again when they are laid over ``below``: null for what ``below`` alone has."""
    removed = {key: None for key in below if key not in raw}
    kept = {
        key: as_overlay(value, below[key]) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
        for key, value in raw.items()
    }
    return kept | removed


def _merge(below: dict, above: dict) -> dict:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _without_nulls(value: object) -> object:
    """Drop the entries that an overlay has set to null, which is how it removes them."""
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return value


def panel_experiments(panel: dict) -> list[str]:
    """The experiments that a panel shows."""
    return panel["experiments"] if "experiments" in panel else [panel["experiment"]]


def _panels_experiments(figure: dict) -> list[str]:
    """Those of all panels of a figure, in their order."""
    return list(dict.fromkeys(name for panel in figure["panels"] for name in panel_experiments(panel)))


def _of_this_run(figure: dict, chosen: list[str]) -> dict:
    """Drop the panels of experiments that are not run, and say so in the caption."""
    panels = [panel for panel in figure["panels"] if set(panel_experiments(panel)) & set(chosen)]
    absent = sorted(set(_panels_experiments(figure)) - set(chosen))
    panels = [p | {"experiments": [e for e in p["experiments"] if e in chosen]} if "experiments" in p else p for p in panels]
    note = f" (Panels of {' and '.join(absent)}, not part of this run, are left out.)" if absent else ""
    return {**figure, "panels": panels, "caption": figure["caption"] + note}


def _with_notes(figure: dict, experiments: dict[str, Experiment], datasets: dict[str, dict]) -> dict:
    """Add to the caption what the configuration notes about the data sets that the figure is made from."""
    names = dict.fromkeys(experiments[name].dataset for name in _panels_experiments(figure))
    notes = [datasets[name]["note"] for name in names if "note" in datasets[name]]
    return {**figure, "caption": " ".join([figure["caption"], *notes])}


def _check_figure(name: str, figure: dict, experiments: dict[str, Experiment], known: list[str]) -> None:
    """Check the panels of a figure; of experiments that are not part of this run, only that there are such."""
    for i, panel in enumerate(figure["panels"]):
        key = f"figures.{name}.panels.{i}"
        _check_kind(key, panel)
        for experiment_name in panel_experiments(panel):
            where = "experiments" if "experiments" in panel else "experiment"
            expect_known(f"{key}.{where}", experiment_name, known, "experiment")
        if "experiments" in panel or panel["experiment"] not in experiments:
            continue
        experiment = experiments[panel["experiment"]]
        expect_known(f"{key}.norm", panel.get("norm", experiment.norms[0]), list(experiment.norms), "norm")
        groups = list(dict.fromkeys(n.group for n in experiment.networks))
        for group in panel.get("groups", []):
            expect_known(f"{key}.groups", group, groups, "group")
        if set(panel.get("lines", [])) & {"ols", "unit_slope"}:
            _check_line(key, panel, experiment)
        snapshots = [s.name for s in experiment.select]
        expect_known(f"{key}.snapshot", panel.get("snapshot", snapshots[0]), snapshots, "snapshot")


def _check_kind(key: str, panel: dict) -> None:
    """Check that a panel's columns fit its kind."""
    kind, y = panel.get("kind", "scatter"), panel.get("y")
    wanted, other = ("experiments", "experiment") if kind == POOLED else ("experiment", "experiments")
    if wanted not in panel or other in panel:
        raise ConfigError(f"config: {key}: found {other if other in panel else 'none'}, expected {wanted} with kind {kind}")
    if kind in (*TABLE_PANELS, POOLED):
        for axis in ("x", "y"):
            if axis in panel:
                raise ConfigError(f"config: {key}.{axis}: found {panel[axis]}, expected none with kind {kind}")
        return
    if "x" not in panel:
        raise ConfigError(f"config: {key}.x: missing; expected a column")
    if kind == "histogram":
        if panel["x"] not in ("max_output", "norm_max_output") or y is not None:
            raise ConfigError(f"config: {key}.x: found {panel['x']}, expected max_output or norm_max_output, and no y")
        return
    if y is None:
        raise ConfigError(f"config: {key}.y: missing; expected a column")
    if kind == "scatter" and isinstance(y, list):
        raise ConfigError(f"config: {key}.y: found {len(y)} columns, expected one with kind scatter")
    for column in ("max_output", "norm_max_output"):
        if column in (panel["x"], y):
            raise ConfigError(f"config: {key}: found {column}, expected it with kind histogram only")


def _check_line(key: str, panel: dict, experiment: Experiment) -> None:
    """Check that the tables have the line: test on training loss, all fitted groups, with or without random labels."""
    if (panel["x"], panel["y"]) not in (("train_loss", "test_loss"), ("norm_train_loss", "norm_test_loss")):
        found = f"{panel['y']} against {panel['x']}"
        raise ConfigError(f"config: {key}.lines: found a fitted line of {found}, expected test against training loss")
    random = {n.group for n in experiment.networks if n.spec.labels == "random"}
    shown, fitted = set(panel.get("groups", experiment.fit_groups)) - random, set(experiment.fit_groups) - random
    if shown != fitted:
        names = ", ".join(sorted(fitted))
        raise ConfigError(f"config: {key}.groups: found {', '.join(sorted(shown))}, expected with a fitted line: {names}")
