"""The report: one self-contained HTML page."""

import base64
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
from puzzles.output.claim_rows import claim_rows, claims_of, figure_number
from puzzles.output.descriptions import describe
from puzzles.output.evidence_sections import line_rows, monitoring_rows, predictor_rows, rescaling_rows, with_its_own_rho
from puzzles.output.headline import headline
from puzzles.output.plots import FigureTables
from puzzles.output.style import r_squared_text

LOST = ("diverged", "dead")  # networks that are no result of training
LARGEST_SVG = 500_000  # bytes; a larger one would be slow to draw on a phone


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
        pictures: the PNG of each figure by its name; it or the SVG beside it is embedded (``embed``).
        provenance: see ``provenance.collect``.
        tables: where the CSV files are, seen from the page: empty, or a folder with a slash at its end.
    """
    loader = jinja2.FileSystemLoader(paths.REPORT_TEMPLATE.parent)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, loader=loader
    )
    environment.filters |= {
        "number": format_number,
        "r2": r_squared_text,
        "figure_number": figure_number,
        "minutes": format_minutes,
    }
    fits = results.fits
    scorecard = claim_rows(results.scorecard, config)
    verdicts, identities = count_verdicts(results.scorecard)
    line = line_rows(config, fits, results.pivots)
    experiments = _experiments(config, results.networks, provenance["seconds"])
    missed, lost = _missed(results.networks), _lost(results.networks)
    trained = {"networks": sum(e["networks"] for e in experiments), "missed": len(missed)}
    return environment.get_template(paths.REPORT_TEMPLATE.name).render(
        run=config.run,
        tables=tables,
        answer=headline(config, line, results.ranks, verdicts, trained | {k: len(lost.get(k, [])) for k in LOST}),
        experiments=experiments,
        figures=_figures(config, results, pictures, scorecard, provenance),
        scorecard=scorecard,
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
        missed=missed,
        lost=lost,
        provenance=provenance,
        notes={name: settings["note"] for name, settings in config.raw["datasets"].items() if "note" in settings},
        choices=our_choices(config.raw),
        changes=changes(config.raw),
        settings={name: _settings(config.raw["experiments"][name]) for name in config.experiments},
        errata=yaml.safe_load(paths.ERRATA.read_text()),
    )


def _figures(
    config: Config, results: Results, pictures: dict[str, Path], scorecard: list[dict], provenance: dict
) -> list[dict]:
    nothing = pd.DataFrame()  # what no description needs
    tables = FigureTables(
        results.networks, results.fits, nothing, nothing, results.ranks, results.rescaling, results.monitoring
    )
    rows = []
    for name in _in_order(config.figures):
        experiments = config.figure_experiments(name)
        row = {"name": name, "number": figure_number(name), **config.figures[name]}
        row |= {"picture": embed(pictures[name]), "described": describe(config, name, tables), "experiments": experiments}
        row |= {"claims": claims_of(scorecard, name), "settings": _settings(config.raw["figures"][name])}
        rows.append(row | {"reused": {e: o for e, o in provenance["reused"].items() if e in experiments}})
    return rows


def _settings(entry: dict) -> str:
    return yaml.safe_dump(entry, sort_keys=False, width=100, allow_unicode=True, default_flow_style=None)


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


def embed(png: Path) -> str:
    """A figure as the page holds it: the SVG beside the PNG where there is one that is small enough, else the PNG."""
    svg = png.with_suffix(".svg")
    path, kind = (svg, "svg+xml") if svg.is_file() and svg.stat().st_size <= LARGEST_SVG else (png, "png")
    return f"data:image/{kind};base64," + base64.b64encode(path.read_bytes()).decode()


def format_number(value: object, digits: int = 5) -> str:
    """A number of a table as text: so many significant digits, a dash for nan."""
    if isinstance(value, float):
        if abs(value) >= 1000 and value.is_integer():
            return f"{value:,.0f}"
        return "–" if np.isnan(value) else f"{value:.{digits}g}"
    return str(value)


def format_minutes(seconds: float) -> str:
    """Seconds as text: ``95 s``, ``12 min``."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _in_order(figures: dict) -> list[str]:
    """By number, then those with a letter."""
    return sorted(figures, key=lambda name: (not name[3:].isdigit(), name))
