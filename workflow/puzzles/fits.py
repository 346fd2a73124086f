"""Lines through test against training loss, as the paper fits them."""

import numpy as np
import pandas as pd
import statsmodels.api as sm

UNNORMALIZED = "none"  # in the column ``norm``
CONFIDENCE = 0.95


def fit_line(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Ordinary least squares of y on x, and the line of slope 1.

    Returns slope and intercept with 95 % intervals, R2, adjusted R2, RMSE (divided by n - 2, as in Figs 9, 10, 15, 16);
    and for slope 1 the intercept mean(y - x) with R2 and RMSE (divided by n) as the paper draws it in Fig. 2. Fewer than
    three points, or points of one x (to the rounding of a float32 forward pass), leave all but n empty.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    line: dict[str, float] = {"n": len(x)}
    if len(x) < 3 or np.ptp(x) <= 1e-7 * np.abs(x).max() or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return line
    result = sm.OLS(y, sm.add_constant(x)).fit()
    for k, name in enumerate(("intercept", "slope")):
        low, high = result.conf_int(1 - CONFIDENCE)[k]
        line |= {name: result.params[k], f"{name}_low": low, f"{name}_high": high}
    line |= {"r2": result.rsquared, "adjusted_r2": result.rsquared_adj, "rmse": np.sqrt(result.mse_resid)}
    gap = y - x
    residuals = gap - gap.mean()
    total = np.sum((y - y.mean()) ** 2)
    line |= {"unit_slope_intercept": gap.mean(), "unit_slope_rmse": np.sqrt(np.mean(residuals**2))}
    line["unit_slope_r2"] = 1 - np.sum(residuals**2) / total if total > 0 else np.nan
    return line


def fit_experiment(measurements: pd.DataFrame, nulls: pd.DataFrame, fit_groups: tuple[str, ...]) -> pd.DataFrame:
    """Every line of one experiment: each snapshot and norm, with and without random labels, and the null families.

    Only networks that met their criterion enter. Column ``networks``: ``all``, ``without_random_labels``, or a null family,
    ``untrained`` or ``one_rescaled`` (see ``tables.null_families``).
    ``random_labels_residual``: how far the random-label networks lie, on average, above the line fitted without them, in
    units of its RMSE.
    """
    rows = []
    kept = measurements[measurements.met_criterion & measurements.group.isin(fit_groups)]
    about = {"experiment": measurements.experiment.iloc[0]}
    for snapshot in measurements.snapshot.unique():
        norms = list(measurements.norm.unique())
        for norm in [UNNORMALIZED, *norms]:
            table = kept[(kept.snapshot == snapshot) & (kept.norm == (norms[0] if norm == UNNORMALIZED else norm))]
            prefix = "" if norm == UNNORMALIZED else "norm_"
            x, y = table[f"{prefix}train_loss"], table[f"{prefix}test_loss"]
            natural = ~table.random_labels
            common = {**about, "snapshot": snapshot, "norm": norm}
            rows.append(common | {"networks": "all"} | fit_line(x, y))
            without = fit_line(x[natural], y[natural])
            if "slope" in without and not natural.all():
                residual = y[~natural] - (without["intercept"] + without["slope"] * x[~natural])
                # an exact line has no unit to measure a residual in
                without["random_labels_residual"] = residual.mean() / without["rmse"] if without["rmse"] > 0 else np.nan
            rows.append(common | {"networks": "without_random_labels"} | without)
    first = {"snapshot": measurements.snapshot.iloc[0], "norm": measurements.norm.iloc[0]}
    for family in ("untrained", "one_rescaled"):
        points = nulls[nulls.family == family]
        rows.append(about | first | {"networks": family} | fit_line(points.norm_train_loss, points.norm_test_loss))
    columns = [*about, "snapshot", "norm", "networks", "n", "slope", "slope_low", "slope_high", "intercept"]
    columns += ["intercept_low", "intercept_high", "r2", "adjusted_r2", "rmse", "unit_slope_intercept", "unit_slope_r2"]
    return pd.DataFrame(rows).reindex(columns=[*columns, "unit_slope_rmse", "random_labels_residual"])
