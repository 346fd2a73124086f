"""Lines through test against training loss, as the paper fits them."""

import numpy as np
import pandas as pd
from statsmodels.regression.linear_model import OLS

from puzzles.analysis import intervals
from puzzles.analysis.columns import ALL, FAMILIES, UNNORMALIZED, WITHOUT, diverged
from puzzles.base.dictionary import columns_of

CLUSTERED = {"slope": intervals.slope, "r2": intervals.r_squared, "unit_slope_intercept": intervals.unit_slope_intercept}


def fit_line(x: np.ndarray | pd.Series, y: np.ndarray | pd.Series, chance: float = np.nan) -> dict[str, float]:
    """Ordinary least squares of y on x, the line of slope 1, and the line through the pivot (chance, chance).

    Returns slope and intercept with 95 % intervals, R2, adjusted R2, RMSE (divided by n - 2, as in Figs 9, 10, 15, 16);
    for slope 1 the intercept mean(y - x) with R2 and RMSE (divided by n) as the paper draws it in Fig. 2; and where
    ``chance``, the loss of outputs that are all 0, is given, the slope through (chance, chance) with R2, RMSE (n - 1), and
    ``pivot_miss``, how far above the pivot the least-squares line passes. Fewer than three points, or points whose x differ
    by no more than rounding (``intervals.is_constant``), leave all but n empty.

    Points are centred and scaled before the fit, so that losses of 1e-12, or within 1e-6 of ln 100, keep their digits, and
    put in order, so that the order of the networks changes no bit.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    line: dict[str, float] = {"n": len(x)}
    if len(x) < 3 or not (np.isfinite(x).all() and np.isfinite(y).all()) or intervals.is_constant(x):
        return line
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    line |= _least_squares(x, y) | _unit_slope(x, y)
    if np.isfinite(chance):
        line |= _through_pivot(x, y, chance)
        line["pivot_miss"] = y.mean() - chance - line["slope"] * (x.mean() - chance)
    return line


def _least_squares(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    centre, width, height = x.mean(), np.ptp(x), np.ptp(y) or 1.0
    u, v = (x - centre) / width, (y - y.mean()) / height
    result = OLS(v, np.column_stack([np.ones_like(u), u])).fit()
    low, high = result.conf_int(1 - intervals.CONFIDENCE)[1] * height / width
    line = {"slope": result.params[1] * height / width, "slope_low": low, "slope_high": high}
    at_zero = result.t_test(np.array([1, -centre / width]))  # the line at x = 0, with its interval
    ends = at_zero.conf_int(1 - intervals.CONFIDENCE)[0] * height + y.mean()
    line |= {"intercept": y.mean() - line["slope"] * centre, "intercept_low": ends[0], "intercept_high": ends[1]}
    exact = np.ptp(y) > 0
    line |= {"r2": result.rsquared if exact else np.nan, "adjusted_r2": result.rsquared_adj if exact else np.nan}
    return line | {"rmse": np.sqrt(result.mse_resid) * height}


def _unit_slope(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    gap, total = y - x, np.sum((y - y.mean()) ** 2)
    residuals = gap - gap.mean()
    line = {"unit_slope_intercept": gap.mean(), "unit_slope_rmse": np.sqrt(np.mean(residuals**2))}
    return line | {"unit_slope_r2": 1 - np.sum(residuals**2) / total if total > 0 else np.nan}


def _through_pivot(x: np.ndarray, y: np.ndarray, chance: float) -> dict[str, float]:
    width, total = np.abs(x - chance).max(), np.sum((y - y.mean()) ** 2)
    through = OLS(y - chance, (x - chance) / width).fit()
    (low, high), slope = through.conf_int(1 - intervals.CONFIDENCE)[0] / width, through.params[0] / width
    line = {"pivot_slope": slope, "pivot_slope_low": low, "pivot_slope_high": high}
    line["pivot_r2"] = 1 - through.ssr / total if total > 0 else np.nan
    return line | {"pivot_rmse": np.sqrt(through.mse_resid)}


def fit_experiment(measurements: pd.DataFrame, families: pd.DataFrame, fit_groups: tuple[str, ...]) -> pd.DataFrame:
    """Every line of one experiment: each snapshot and norm, with and without random labels, and ``analysis.families``.

    Only networks that met their criterion enter. Column ``networks``: ``all``, ``without_random_labels``, or a family.
    ``*_clustered_low`` and ``_high``: 95 % intervals by leaving out networks that share their pretraining together
    (``intervals.interval``). Networks that diverged enter nothing.
    ``random_labels_residual``: how far the random-label networks lie, on average, above the line fitted without them, in
    units of its RMSE.
    """
    rows = []
    kept = measurements[measurements.met_criterion & measurements.group.isin(fit_groups) & ~diverged(measurements)]
    about = {"experiment": measurements.experiment.iloc[0]}
    norms, chance = list(measurements.norm.unique()), float(np.log(measurements.num_classes.iloc[0]))
    for snapshot in measurements.snapshot.unique():
        for norm in [UNNORMALIZED, *norms]:
            table = kept[(kept.snapshot == snapshot) & (kept.norm == (norms[0] if norm == UNNORMALIZED else norm))]
            common = {**about, "snapshot": snapshot, "norm": norm}
            lines = _with_and_without(table, norm, chance)
            rows += [common | {"networks": networks} | line for networks, line in lines.items()]
    first = {"snapshot": measurements.snapshot.iloc[0], "norm": norms[0]}
    for family in dict.fromkeys([*FAMILIES, *families.family]):
        points = families[families.family == family]
        rows.append(about | first | {"networks": family} | fit_line(points.norm_train_loss, points.norm_test_loss, chance))
    return pd.DataFrame(rows).reindex(columns=columns_of("fits"))


def _with_and_without(table: pd.DataFrame, norm: str, chance: float) -> dict[str, dict]:
    prefix = "" if norm == UNNORMALIZED else "norm_"
    columns = [f"{prefix}train_loss", f"{prefix}test_loss"]
    chance = np.nan if norm in (UNNORMALIZED, "output") else chance  # outputs of norm 1 are nowhere near 0
    lines = {}
    for networks, part in ((ALL, table), (WITHOUT, table[~table.random_labels])):
        line = fit_line(part[columns[0]], part[columns[1]], chance)
        for name, statistic in CLUSTERED.items() if "slope" in line else ():
            _, line[f"{name}_clustered_low"], line[f"{name}_clustered_high"] = intervals.interval(statistic, part, *columns)
        lines[networks] = line
    random, without = table[table.random_labels], lines[WITHOUT]
    if "slope" in without and len(random):
        residual = random[columns[1]] - (without["intercept"] + without["slope"] * random[columns[0]])
        # an exact line has no unit to measure a residual in
        without["random_labels_residual"] = residual.mean() / without["rmse"] if without["rmse"] > 0 else np.nan
    return lines
