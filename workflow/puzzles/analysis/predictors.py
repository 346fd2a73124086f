"""Which number predicts the test error? Kendall's tau of everything measured, marginal and given the swept variable."""

import numpy as np
import pandas as pd

from puzzles.analysis import intervals
from puzzles.analysis.columns import ALL, WITHOUT, derived, diverged
from puzzles.base.dictionary import columns_of

# 1: larger values are expected with larger test errors, -1: with smaller ones; tau is of sign * predictor.
PREDICTORS = {
    "norm_train_loss": 1,
    "norm_test_loss": 1,
    "train_loss": 1,
    "test_loss": 1,
    "rho": 1,
    "inverse_margin_min": 1,
    "inverse_margin_p01": 1,
    "inverse_margin_p10": 1,
    "margin_train_median": -1,
    "margin_train_mean": -1,  # the area under the sorted margins (Banburski et al. 2021)
    "path_norm": 1,
    "fisher_rao": 1,
    "distance_from_init": 1,
    "sum_of_squares": 1,
    "active_units": -1,
    "epoch": 1,
    "value": 1,  # the swept variable itself
}
OWN = "own"
OF_A_NORM = ("norm_train_loss", "rho")  # those that are also ranked under every other norm
COLUMNS = columns_of("ranks")


def rank_experiment(
    measurements: pd.DataFrame, fit_groups: tuple[str, ...], correct: dict[str, np.ndarray] | None = None
) -> pd.DataFrame:
    """Kendall's tau of the test error with each predictor: first snapshot, networks that met their criterion.

    With and without random labels, for the first norm; the losses and rho of every other norm too. ``tau_low`` and
    ``tau_high``: 95 % interval, clustered by shared pretraining, with the chance of test examples where ``correct`` is
    known. ``within_tau``: over pairs of networks of one value of the swept variable (``within_pairs`` of them):
    (concordant - discordant) / pairs. ``partial_tau``: given the swept variable (Kendall 1942). A predictor without a value
    for every network has no tau.
    """
    table = derived(measurements)
    table = table[table.met_criterion & table.group.isin(fit_groups) & ~diverged(table)]
    table = table[table.snapshot == measurements.snapshot.iloc[0]]
    norms = list(measurements.norm.unique())
    rows = []
    for networks in (ALL, WITHOUT):
        for norm in norms:
            part = table[(table.norm == norm) & ~(table.random_labels & (networks == WITHOUT))]
            for predictor in PREDICTORS if norm == norms[0] else OF_A_NORM:
                about = {"experiment": measurements.experiment.iloc[0], "networks": networks, "norm": norm}
                rows.append(about | {"predictor": predictor} | _rank(part, predictor, correct))
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def _rank(table: pd.DataFrame, predictor: str, correct: dict[str, np.ndarray] | None) -> dict[str, float]:
    row: dict[str, float] = {"n": len(table)}
    if predictor not in table or table[predictor].isna().any():
        return row
    table = table.assign(predicted=PREDICTORS[predictor] * table[predictor].astype(float))
    estimate = intervals.interval(intervals.kendall, table, "predicted", "test_error", correct=correct)
    row |= dict(zip(("tau", "tau_low", "tau_high"), estimate, strict=True))
    row["within_tau"], row["within_pairs"] = within_tau(table.predicted, table.test_error, table.value)
    columns = (table[column].to_numpy(dtype=float) for column in ("predicted", "test_error", "value"))
    row["partial_tau"] = intervals.partial_kendall(*columns)
    return row


def within_tau(x: pd.Series, y: pd.Series, value: pd.Series) -> tuple[float, int]:
    """(concordant - discordant) / pairs, over the pairs that share a value; and the number of pairs."""
    arrays = [np.asarray(column, dtype=float) for column in (x, y, value)]
    i, j = np.triu_indices(len(arrays[0]), k=1)
    dx, dy, dz = (column[i] - column[j] for column in arrays)
    pairs = dz == 0
    return (float(np.mean(np.sign(dx[pairs] * dy[pairs]))) if pairs.any() else np.nan), int(pairs.sum())


def pool(ranks: pd.DataFrame) -> pd.DataFrame:
    """Over experiments, natural labels only: the mean, the worst and the best tau of each predictor, and where it is worst.

    ``norm``: ``own`` stands for the first norm of each experiment, which its lines are drawn with.
    A predictor is worth what it does where it does worst (Dziugaite et al. 2020): one that is right on average may be wrong
    for some way of making networks differ.
    """
    rows = []
    firsts = ranks.groupby("experiment").norm.transform("first")
    table = ranks.assign(norm=ranks.norm.where(ranks.norm != firsts, OWN))
    table = table[(table.networks == WITHOUT) & table.tau.notna()]
    for (norm, predictor), taus in table.groupby(["norm", "predictor"], sort=False):
        worst = taus.iloc[int(np.argmin(taus.tau))]
        row = {"norm": norm, "predictor": predictor, "experiments": len(taus), "mean_tau": taus.tau.mean()}
        row |= {"worst_tau": worst.tau, "worst_experiment": worst.experiment, "best_tau": taus.tau.max()}
        rows.append(row | {"mean_within_tau": taus.within_tau.mean(), "mean_partial_tau": taus.partial_tau.mean()})
    columns = ["norm", "predictor", "experiments", "mean_tau", "worst_tau", "worst_experiment", "best_tau"]
    return pd.DataFrame(rows, columns=[*columns, "mean_within_tau", "mean_partial_tau"])
