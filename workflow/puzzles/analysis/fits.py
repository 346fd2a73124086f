"""Lines through test against training loss, as the paper fits them, and rank correlations with the test error."""

import numpy as np
import pandas as pd
from statsmodels.regression.linear_model import OLS

from puzzles.analysis import intervals
from puzzles.analysis.columns import ALL, UNNORMALIZED, WITHOUT, derived

LINE_COLUMNS = ("slope", "intercept", "r2", "adjusted_r2", "rmse")
UNIT_SLOPE_COLUMNS = ("unit_slope_intercept", "unit_slope_r2", "unit_slope_rmse")
PIVOT_COLUMNS = ("pivot_slope", "pivot_slope_low", "pivot_slope_high", "pivot_r2", "pivot_rmse", "pivot_miss")
PREDICTORS = ("norm_train_loss", "norm_test_loss", "train_loss", "rho", "inverse_margin_min", "inverse_margin_p10", "value")


def fit_line(x: np.ndarray | pd.Series, y: np.ndarray | pd.Series, chance: float = np.nan) -> dict[str, float]:
    """Ordinary least squares of y on x, the line of slope 1, and the line through the pivot (chance, chance).

    Returns slope and intercept with 95 % intervals, R2, adjusted R2, RMSE (divided by n - 2, as in Figs 9, 10, 15, 16);
    for slope 1 the intercept mean(y - x) with R2 and RMSE (divided by n) as the paper draws it in Fig. 2; and where
    ``chance``, the loss of outputs that are all 0, is given, the slope through (chance, chance) with R2, RMSE (n - 1), and
    ``pivot_miss``, how far above the pivot the least-squares line passes. Fewer than three points, or points of one x (to
    the rounding of a float32 forward pass), leave all but n empty.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    line: dict[str, float] = {"n": len(x)}
    if len(x) < 3 or np.ptp(x) <= 1e-7 * np.abs(x).max() or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return line
    result = OLS(y, np.column_stack([np.ones_like(x), x])).fit()
    for k, name in enumerate(("intercept", "slope")):
        low, high = result.conf_int(1 - intervals.CONFIDENCE)[k]
        line |= {name: result.params[k], f"{name}_low": low, f"{name}_high": high}
    line |= {"r2": result.rsquared, "adjusted_r2": result.rsquared_adj, "rmse": np.sqrt(result.mse_resid)}
    gap = y - x
    residuals = gap - gap.mean()
    total = np.sum((y - y.mean()) ** 2)
    line |= {"unit_slope_intercept": gap.mean(), "unit_slope_rmse": np.sqrt(np.mean(residuals**2))}
    line["unit_slope_r2"] = 1 - np.sum(residuals**2) / total if total > 0 else np.nan
    if np.isfinite(chance):
        through = OLS(y - chance, x - chance).fit()
        (low, high), slope = through.conf_int(1 - intervals.CONFIDENCE)[0], through.params[0]
        line |= {"pivot_slope": slope, "pivot_slope_low": low, "pivot_slope_high": high}
        line["pivot_r2"] = 1 - through.ssr / total if total > 0 else np.nan
        line["pivot_rmse"] = np.sqrt(through.mse_resid)
        line["pivot_miss"] = line["intercept"] + line["slope"] * chance - chance
    return line


def fit_experiment(measurements: pd.DataFrame, families: pd.DataFrame, fit_groups: tuple[str, ...]) -> pd.DataFrame:
    """Fit all lines of one experiment: each snapshot and norm, with and without random labels, and ``tables.families``.

    Only networks that met their criterion enter. Column ``networks``: ``all``, ``without_random_labels``, or a family.
    ``*_boot_low`` and ``_high``: 95 % bootstrap intervals, clustered by shared pretraining (first norm and unnormalized).
    ``random_labels_residual``: how far the random-label networks lie, on average, above the line fitted without them, in
    units of its RMSE.
    """
    rows = []
    kept = measurements[measurements.met_criterion & measurements.group.isin(fit_groups)]
    about = {"experiment": measurements.experiment.iloc[0]}
    norms, chance = list(measurements.norm.unique()), float(np.log(measurements.num_classes.iloc[0]))
    for snapshot in measurements.snapshot.unique():
        for norm in [UNNORMALIZED, *norms]:
            table = kept[(kept.snapshot == snapshot) & (kept.norm == (norms[0] if norm == UNNORMALIZED else norm))]
            common = {**about, "snapshot": snapshot, "norm": norm}
            lines = _with_and_without(table, norm, chance, bootstrapped=norm in (UNNORMALIZED, norms[0]))
            rows += [common | {"networks": networks} | line for networks, line in lines.items()]
    first = {"snapshot": measurements.snapshot.iloc[0], "norm": norms[0]}
    for family in dict.fromkeys(["untrained", "one_rescaled", *families.family]):
        points = families[families.family == family]
        rows.append(about | first | {"networks": family} | fit_line(points.norm_train_loss, points.norm_test_loss, chance))
    ends = [f"{s}_{end}" for s in ("slope", "intercept") for end in ("low", "high")]
    boots = [f"{s}_boot_{end}" for s in ("slope", "r2", "unit_slope_intercept") for end in ("low", "high")]
    columns = [*about, "snapshot", "norm", "networks", "n", *LINE_COLUMNS, *UNIT_SLOPE_COLUMNS, *ends, *boots]
    columns += [*PIVOT_COLUMNS, "random_labels_residual"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _with_and_without(table: pd.DataFrame, norm: str, chance: float, bootstrapped: bool) -> dict[str, dict]:
    prefix = "" if norm == UNNORMALIZED else "norm_"
    columns = [f"{prefix}train_loss", f"{prefix}test_loss"]
    chance = np.nan if norm in (UNNORMALIZED, "output") else chance  # no pivot: outputs of norm 1 are far from 0
    lines = {}
    for networks, part in ((ALL, table), (WITHOUT, table[~table.random_labels])):
        line = fit_line(part[columns[0]], part[columns[1]], chance)
        if bootstrapped and "slope" in line:
            for name, statistic in (
                ("slope", intervals.slope),
                ("r2", intervals.r_squared),
                ("unit_slope_intercept", lambda x, y: float(np.mean(y - x))),
            ):
                _, line[f"{name}_boot_low"], line[f"{name}_boot_high"] = intervals.interval(statistic, part, *columns)
        lines[networks] = line
    random, without = table[table.random_labels], lines[WITHOUT]
    if "slope" in without and len(random):
        residual = random[columns[1]] - (without["intercept"] + without["slope"] * random[columns[0]])
        # the unit is the RMSE of the line, which is 0 if the line is exact
        without["random_labels_residual"] = residual.mean() / without["rmse"] if without["rmse"] > 0 else np.nan
    return lines


def rank_experiment(measurements: pd.DataFrame, fit_groups: tuple[str, ...]) -> pd.DataFrame:
    """Kendall's tau of the test error with each predictor, with clustered bootstrap intervals: first snapshot and norm.

    Of the networks that met their criterion, with and without random labels. Tau is empty if a predictor lacks a value.
    """
    table = derived(measurements[measurements.met_criterion & measurements.group.isin(fit_groups)])
    table = table[(table.snapshot == measurements.snapshot.iloc[0]) & (table.norm == measurements.norm.iloc[0])]
    rows = []
    for networks, part in ((ALL, table), (WITHOUT, table[~table.random_labels])):
        for predictor in PREDICTORS:
            row = {"experiment": measurements.experiment.iloc[0], "networks": networks, "predictor": predictor}
            row |= {"n": len(part), "tau": np.nan, "tau_low": np.nan, "tau_high": np.nan}
            if part[predictor].notna().all():
                estimate = intervals.interval(intervals.kendall, part, predictor, "test_error")
                row |= dict(zip(("tau", "tau_low", "tau_high"), estimate, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)
