"""The report: one self-contained HTML page."""

import base64
import re
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
import yaml

from puzzles.analysis.claims import NOT_REPRODUCED, NOT_RUN, REPRODUCED
from puzzles.analysis.columns import ALL, WITHOUT
from puzzles.base import paths
from puzzles.config.choices import changes, our_choices
from puzzles.config.configuration import Config
from puzzles.output.style import r_squared_text

VERDICTS = (REPRODUCED, NOT_REPRODUCED, NOT_RUN)


@dataclass(frozen=True)
class Results:
    """The tables that the report shows."""

    networks: pd.DataFrame
    fits: pd.DataFrame
    ranks: pd.DataFrame
    scorecard: pd.DataFrame


def render(config: Config, results: Results, pictures: dict[str, Path], provenance: dict, tables: str = "") -> str:
    """The page as text.

    Args:
        pictures: the PNG of each figure by its name; they are embedded.
        provenance: see ``provenance.collect``.
        tables: where the CSV files are, seen from the page: empty, or a folder with a slash at its end.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"number": _number, "r2": r_squared_text, "figure_name": _figure_name, "minutes": _minutes}
    template = environment.from_string(paths.REPORT_TEMPLATE.read_text())
    fits, card = results.fits, results.scorecard.fillna({"paper": "", "interval": "", "experiments": ""})
    return template.render(
        run=config.run,
        tables=tables,
        experiments=_experiments(config, results.networks, provenance["seconds"]),
        figures=[{"name": n, **config.figures[n], "png": _embed(pictures[n])} for n in _in_order(config.figures)],
        scorecard=[row | {"figures": _figures_of(row["figure"])} for row in card.to_dict("records")],
        verdicts={verdict: int((card.verdict == verdict).sum()) for verdict in VERDICTS},
        comparison=_comparison(config, fits),
        ranks=_ranks(_distinct(results.ranks[results.ranks.n > 2])),
        fits=_distinct(fits[fits.slope.notna() & ~fits.networks.str.startswith("image_")]).to_dict("records"),
        missed=_missed(results.networks),
        provenance=provenance,
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


def _comparison(config: Config, fits: pd.DataFrame) -> list[dict]:
    """R2 before and after normalization, beside that of untrained networks and of one network rescaled."""
    rows = []
    for name, experiment in config.experiments.items():
        table = fits[fits.experiment == name]
        snapshot, norm = experiment.select[0].name, experiment.norms[0]

        def of(norm: str, networks: str, snapshot: str = snapshot, table: pd.DataFrame = table) -> dict:
            match = (table.snapshot == snapshot) & (table.norm == norm) & (table.networks == networks)
            found = table[match].to_dict("records")
            return found[0] if found else {"r2": np.nan, "slope": np.nan, "random_labels_residual": np.nan, "n": 0}

        rows.append(
            {
                "experiment": name,
                "unnormalized": of("none", "all"),
                "unnormalized_natural": of("none", "without_random_labels"),
                "normalized": of(norm, "all"),
                "without_random": of(norm, "without_random_labels"),
                "untrained": of(norm, "untrained"),
                "rescaled": of(norm, "one_rescaled"),
            }
        )
    return rows


def _distinct(table: pd.DataFrame) -> pd.DataFrame:
    """Drop the rows "without random labels" of experiments that have none, since they repeat the rows "all"."""
    everything = table[table.networks == ALL].groupby("experiment").n.max()
    return table[(table.networks != WITHOUT) | (table.n < table.experiment.map(everything))]


def _missed(networks: pd.DataFrame) -> list[dict]:
    table = pd.concat([_primary(t) for _, t in networks.groupby("experiment", sort=False)])
    return table[~table.met_criterion].to_dict("records")


def _primary(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each network: its first snapshot and norm."""
    return table[(table.snapshot == table.snapshot.iloc[0]) & (table.norm == table.norm.iloc[0])]


def _embed(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _number(value: object, digits: int = 5) -> str:
    if isinstance(value, float):
        if abs(value) >= 1000 and value.is_integer():
            return f"{value:,.0f}"
        return "–" if np.isnan(value) else f"{value:.{digits}g}"
    return str(value)


def _figure_name(name: str) -> str:
    """``fig02`` to ``Figure 2``."""
    return f"Figure {name.removeprefix('fig').lstrip('0')}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _in_order(figures: dict) -> list[str]:
    """The figures sorted by number, then those with a letter."""
    return sorted(figures, key=lambda name: (not name[3:].isdigit(), name))


def _figures_of(text: str) -> list[str]:
    """The figures that a claim is about, for the filter: ``5-8, 11`` gives 5, 6, 7, 8, 11; a claim about none, ``other``."""
    numbers = []
    of_figures = "" if text.startswith(("App", "sec", "all")) else text
    for first, last in re.findall(r"\b(\d+|J)\b(?:-(\d+))?", of_figures):
        numbers += [str(k) for k in range(int(first), int(last) + 1)] if last else [first]
    return numbers or ["other"]


def _ranks(ranks: pd.DataFrame) -> list[dict]:
    """One row for each experiment and choice of networks: tau and its interval by predictor."""
    rows = []
    for (experiment, networks), table in ranks.groupby(["experiment", "networks"], sort=False):
        row = {"experiment": experiment, "networks": networks, "n": int(table.n.max())}
        rows.append(row | {"taus": table.to_dict("records")})
    return rows
