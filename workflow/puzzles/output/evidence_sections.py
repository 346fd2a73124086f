"""The report's rows on what the paper's line is made of, what predicts the test error, and when to stop."""

import pandas as pd

from puzzles.analysis.columns import FAMILIES, UNNORMALIZED, WITHOUT
from puzzles.analysis.predictors import pool
from puzzles.config.configuration import Config
from puzzles.output.style import predictor_label

NO_LINE = {"r2": float("nan"), "slope": float("nan"), "n": 0}


def line_rows(config: Config, fits: pd.DataFrame, pivots: pd.DataFrame) -> list[dict]:
    """For each experiment with lines: before and after normalization, the null families, and the ratios r."""
    rows = []
    for name, experiment in config.experiments.items():
        snapshot, norm = experiment.select[0].name, experiment.norms[0]
        table = fits[(fits.experiment == name) & (fits.snapshot == snapshot)]

        def line(norm: str, networks: str, table: pd.DataFrame = table) -> dict:
            found = table[(table.norm == norm) & (table.networks == networks)].to_dict("records")
            return dict(found[0]) if found else NO_LINE

        row: dict = {"experiment": name, "unnormalized": line(UNNORMALIZED, WITHOUT), "normalized": line(norm, WITHOUT)}
        row["families"] = [line(norm, family) for family in FAMILIES]
        row["pivot"] = _summary(pivots, name, snapshot)
        if row["normalized"]["n"]:
            rows.append(row)
    return rows


def _summary(pivots: pd.DataFrame, experiment: str, snapshot: str) -> dict:
    """The row about all networks of an experiment; nothing where depth has no meaning."""
    if pivots.empty:
        return {}
    match = (pivots.experiment == experiment) & (pivots.snapshot == snapshot) & pivots.value.isna()
    found = pivots[match].to_dict("records")
    return dict(found[0]) if found else {}


def rescaling_rows(rescaling: pd.DataFrame) -> list[dict]:
    """For each experiment the R sweep of Eq. 6, in the order of R."""
    if rescaling.empty:
        return []
    groups = rescaling.groupby("experiment", sort=False)
    return [{"experiment": name, "steps": table.to_dict("records")} for name, table in groups if table.r2.notna().any()]


def predictor_rows(ranks: pd.DataFrame) -> list[dict]:
    """The pooled predictors, the best in its worst experiment first; none where the run is older than the table."""
    if "partial_tau" not in ranks:
        return []
    rows = pool(ranks).sort_values("worst_tau", ascending=False).to_dict("records")
    return [row | {"label": predictor_label(row["predictor"])} for row in rows]


def monitoring_rows(monitoring: pd.DataFrame) -> list[dict]:
    """For each experiment and monitored number: medians over networks."""
    if monitoring.empty:
        return []
    rows = []
    for (experiment, monitored), table in monitoring.groupby(["experiment", "monitored"], sort=False):
        row = {"experiment": experiment, "monitored": monitored, "n": len(table), "tau": table.tau.median()}
        lost = (table.error_last - table.error_best).median()
        rows.append(row | {"regret": table.regret.median(), "worst": table.regret.max(), "last": lost})
    return rows


def with_its_own_rho(rows: list[dict]) -> dict[str, int]:
    """How often another network's rho, or one constant for all, makes as good a line: R2 at most .01 below the own one's."""
    counts = {"experiments": 0, "permuted_rho": 0, "common_constant": 0}
    for row in rows:
        families = dict(zip(FAMILIES, row["families"], strict=True))
        if families["permuted_rho"]["r2"] == families["permuted_rho"]["r2"]:
            counts["experiments"] += 1
            for name in ("permuted_rho", "common_constant"):
                counts[name] += bool(families[name]["r2"] >= row["normalized"]["r2"] - 0.01)
    return counts
