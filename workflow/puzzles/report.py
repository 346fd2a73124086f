"""The report: one self-contained HTML page."""

import base64
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
import torch

from puzzles.config import Config
from puzzles.style import r_squared

TEMPLATE = Path(__file__).parent.parent / "report" / "report.html.j2"


def render(
    config: Config, networks: pd.DataFrame, fits: pd.DataFrame, pictures: dict[str, Path], provenance: list[dict]
) -> str:
    """The page as text.

    Args:
        networks: all measurements (``tables/networks.csv``).
        fits: all lines (``tables/fits.csv``).
        pictures: the PNG of each figure by its name; they are embedded.
        provenance: where each data set came from.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"number": _number, "r2": r_squared, "figure_name": _figure_name}
    template = environment.from_string(TEMPLATE.read_text())
    return template.render(
        run=config.run,
        experiments=_experiments(config, networks),
        figures=[{"name": n, **config.figures[n], "png": _embed(pictures[n])} for n in sorted(config.figures)],
        comparison=_comparison(config, fits),
        fits=fits[fits.n >= 3].to_dict("records"),
        missed=_missed(networks),
        provenance=provenance,
        made=_made(),
    )


def _experiments(config: Config, networks: pd.DataFrame) -> list[dict]:
    rows = []
    for name, experiment in config.experiments.items():
        table = _primary(networks[networks.experiment == name])
        rows.append(
            {"name": name, "description": experiment.description, "dataset": experiment.dataset}
            | {"networks": len(table), "met": int(table.met_criterion.sum()), "pretrained": len(experiment.pretrainings)}
        )
    return rows


def _comparison(config: Config, fits: pd.DataFrame) -> list[dict]:
    """Side by side: R2 before and after normalization, and of the families without a meaning."""
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


def _missed(networks: pd.DataFrame) -> list[dict]:
    table = pd.concat([_primary(t) for _, t in networks.groupby("experiment", sort=False)])
    return table[~table.met_criterion].to_dict("records")


def _primary(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each network: its first snapshot and norm."""
    return table[(table.snapshot == table.snapshot.iloc[0]) & (table.norm == table.norm.iloc[0])]


def _made() -> dict:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return {
        "time": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit.stdout.strip() or "unknown",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _embed(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _number(value: object, digits: int = 5) -> str:
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:.{digits}g}"
    return str(value)


def _figure_name(name: str) -> str:
    """``fig02`` to ``Figure 2``."""
    return f"Figure {name.removeprefix('fig').lstrip('0')}"
