"""The report: one self-contained HTML page."""

import base64
import re
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
import yaml

from puzzles.analysis.claims import OF_IDENTITIES, VERDICTS, count_verdicts
from puzzles.analysis.columns import ALL, FAMILIES, WITHOUT, diverged
from puzzles.base import paths
from puzzles.config.choices import changes, our_choices
from puzzles.config.configuration import Config
from puzzles.output.evidence_sections import line_rows, monitoring_rows, predictor_rows, rescaling_rows, with_its_own_rho
from puzzles.output.style import r_squared_text


@dataclass(frozen=True)
class Results:
    """The tables that the report shows."""

    networks: pd.DataFrame
    fits: pd.DataFrame
    ranks: pd.DataFrame
    pivots: pd.DataFrame
    rescaling: pd.DataFrame
    monitoring: pd.DataFrame
    scorecard: pd.DataFrame


def render(config: Config, results: Results, pictures: dict[str, Path], provenance: dict, tables: str = "") -> str:
    """The page as text.

    Args:
        pictures: the PNG of each figure by its name; they are embedded.
        provenance: see ``provenance.collect``.
        tables: where the CSV files are, seen from the page: empty, or a folder with a slash at its end.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {
        "number": format_number,
        "r2": r_squared_text,
        "figure_name": _figure_name,
        "minutes": format_minutes,
    }
    template = environment.from_string(paths.REPORT_TEMPLATE.read_text())
    fits = results.fits
    card = results.scorecard.fillna({"paper": "", "interval": "", "asked": "", "experiments": ""})
    verdicts, identities = count_verdicts(card)
    line = line_rows(config, fits, results.pivots)
    return template.render(
        run=config.run,
        tables=tables,
        experiments=_experiments(config, results.networks, provenance["seconds"]),
        figures=[
            {"name": n, **config.figures[n], "png": _embed(pictures[n]), "experiments": config.figure_experiments(n)}
            for n in _in_order(config.figures)
        ],
        scorecard=[row | {"figures": figures_of(row["figure"])} for row in card.to_dict("records")],
        verdicts=verdicts,
        identities=identities,
        filters=dict.fromkeys([*VERDICTS, *OF_IDENTITIES]),
        families=[family.replace("_", " ") for family in FAMILIES],
        line=line,
        own=with_its_own_rho(line),
        rescaling=rescaling_rows(results.rescaling),
        predictors=predictor_rows(results.ranks),
        monitoring=monitoring_rows(results.monitoring),
        fits=_distinct(fits[fits.slope.notna() & ~fits.networks.str.startswith("image_")]).to_dict("records"),
        missed=_missed(results.networks),
        lost=_lost(results.networks),
        provenance=provenance,
        notes={name: settings["note"] for name, settings in config.raw["datasets"].items() if "note" in settings},
        choices=our_choices(config.raw),
        changes=changes(config.raw),
        errata=yaml.safe_load(paths.ERRATA.read_text()),
    )


def _experiments(config: Config, networks: pd.DataFrame, seconds: dict[str, dict[str, float]]) -> list[dict]:
    rows = []
    for name, experiment in config.experiments.items():
        table = _primary(networks[networks.experiment == name])
        rows.append(
            {"name": name, "description": experiment.description, "dataset": experiment.dataset}
            | {"networks": len(table), "met": int(table.met_criterion.sum()), "pretrained": len(experiment.pretrainings)}
            | {"seconds": sum(seconds.get(name, {}).values())}
        )
    return rows


def _distinct(table: pd.DataFrame) -> pd.DataFrame:
    """Without the rows "without random labels" of experiments that have none: they say the same as "all"."""
    everything = table[table.networks == ALL].groupby("experiment").n.max()
    return table[(table.networks != WITHOUT) | (table.n < table.experiment.map(everything))]


def _missed(networks: pd.DataFrame) -> list[dict]:
    table = pd.concat([_primary(t) for _, t in networks.groupby("experiment", sort=False)])
    return table[~table.met_criterion].to_dict("records")


def _lost(networks: pd.DataFrame) -> dict[str, list[str]]:
    """The names of networks that are no result of training: ``diverged`` and ``dead``."""
    lost = {"diverged": diverged(networks)}
    if "dead" in networks:  # a run may be older than this column
        lost["dead"] = networks["dead"].eq(True)
    found = {kind: list(networks[which].network.unique()) for kind, which in lost.items()}
    return {kind: names for kind, names in found.items() if names}


def _primary(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each network: its first snapshot and norm."""
    return table[(table.snapshot == table.snapshot.iloc[0]) & (table.norm == table.norm.iloc[0])]


def _embed(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def format_number(value: object, digits: int = 5) -> str:
    """A number of a table as text: so many significant digits, a dash for nan."""
    if isinstance(value, float):
        if abs(value) >= 1000 and value.is_integer():
            return f"{value:,.0f}"
        return "–" if np.isnan(value) else f"{value:.{digits}g}"
    return str(value)


def _figure_name(name: str) -> str:
    """``fig02`` to ``Figure 2``."""
    return f"Figure {name.removeprefix('fig').lstrip('0')}"


def format_minutes(seconds: float) -> str:
    """Seconds as text: ``95 s``, ``12 min``."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _in_order(figures: dict) -> list[str]:
    """By number, then those with a letter."""
    return sorted(figures, key=lambda name: (not name[3:].isdigit(), name))


def figures_of(text: str) -> list[str]:
    """The figures that a claim is about, for the filter: ``5-8, 11`` gives 5, 6, 7, 8, 11; a claim about none, ``other``."""
    numbers = []
    of_figures = "" if text.startswith(("App", "sec", "all")) else text
    for first, last in re.findall(r"\b(\d+|J)\b(?:-(\d+))?", of_figures):
        numbers += [str(k) for k in range(int(first), int(last) + 1)] if last else [first]
    return numbers or ["other"]
