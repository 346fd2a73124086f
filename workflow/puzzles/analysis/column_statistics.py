"""Statistics of columns of the measurements: means, correlations, what random labels do, what sizes do."""

import numpy as np
import pandas as pd

from puzzles.analysis import intervals
from puzzles.analysis.evidence import RANGE, Evidence, Found, estimate
from puzzles.analysis.registry import statistic

COARSE = 0.02  # where 3 standard errors of a test error are more, a test set cannot tell whether a network is at chance


@statistic
def every(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The value of a column that is worst for the claim; with the range over networks."""
    values = evidence.rows(test, experiments)[test["column"]].dropna()
    if values.empty:
        return Found(np.nan, because="no network to look at")
    low, high = values.min(), values.max()
    worst = low if "at_least" in test else high
    if "between" in test:
        worst = max(values, key=lambda v: max(test["between"][0] - v, v - test["between"][1]))
    return Found(float(worst), float(low), float(high), RANGE)


@statistic
def at_chance(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """How much further from chance than max(0.01, 3 standard errors) the test error of random-label networks is at most."""
    table = evidence.rows(test | {"labels": "random"}, experiments)
    if len(table) and table.chance_deviation.max() > COARSE:
        size, moved = table.test_size.min(), table.chance_deviation.max()
        return Found(np.nan, because=f"{size} test examples are too few: chance alone moves an error by {moved:.2g}")
    return every(evidence, test | {"labels": "random", "column": "error_beyond_chance"}, experiments)


@statistic
def largest(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The largest value of a column: whether there is any such network."""
    values = evidence.rows(test, experiments)[test["column"]].dropna()
    return (
        Found(float(values.max()), because=f"of {len(values)}") if len(values) else Found(np.nan, because="no such network")
    )


@statistic
def mean(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The mean of a column over networks."""
    return estimate(evidence, intervals.mean, evidence.rows(test, experiments), test["column"], fewest=1)


@statistic
def smallest_mean(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The mean of a column over the networks of an experiment, of the experiment where it is smallest."""
    means = evidence.rows(test, experiments).groupby("experiment")[test["column"]].mean()
    if len(means) < len(experiments):
        return Found(np.nan, because=f"no network in {', '.join(e for e in experiments if e not in means)}")
    return Found(float(means.min()), because=f"in {means.idxmin()}; largest {means.max():.3g}")


@statistic
def deviation(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The standard deviation of a column over networks."""
    return estimate(evidence, intervals.deviation, evidence.rows(test, experiments), test["column"])


@statistic
def kendall(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """Kendall's tau of two columns."""
    return estimate(evidence, intervals.kendall, evidence.rows(test, experiments), test["x"], test["y"])


@statistic
def partial_kendall(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """Kendall's partial tau of two columns given a third: what is left where the swept value explains both."""
    table = evidence.rows(test, experiments)
    return estimate(evidence, intervals.partial_kendall, table, test["x"], test["y"], test["given"])


@statistic
def spearman(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """Spearman's rank correlation of two columns."""
    return estimate(evidence, intervals.spearman, evidence.rows(test, experiments), test["x"], test["y"])


@statistic
def log_slope(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The exponent b of y ~ x^b: the slope of log y on log x; with ``above_smallest``, of x less its smallest value."""
    table = evidence.rows(test, experiments)
    x = table[test["x"]].astype(float)
    x = x - x.min() if test.get("above_smallest") else x
    table = table.assign(log_x=np.log(x.where(x > 0)))[table[test["y"]] > 0]
    return estimate(evidence, _slope_of_log, table, "log_x", test["y"])


def _slope_of_log(x: np.ndarray, y: np.ndarray) -> float:
    return intervals.slope(x, np.log(y)) if (y > 0).all() else np.nan


@statistic
def r_squared(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """R2 of the least-squares line through two columns."""
    return estimate(evidence, intervals.r_squared, evidence.rows(test, experiments), test["x"], test["y"])


@statistic
def random_labels_rank(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The share of natural-label networks whose column is below that of every random-label network."""
    natural, random = _natural_and_random(evidence.rows(test, experiments), test["column"])
    if natural.empty or random.empty:
        return Found(np.nan, because="no natural or no random-label network met its criterion")
    return Found(float((natural < random.min()).mean()), because=f"of {len(natural)} networks")


@statistic
def random_labels_ratio(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The mean of a column over random-label networks, over its median of natural-label ones.

    Of ``margin_ratio`` it is 1 where random labels lose as much of their normalized margin from training to test as natural
    ones, which is what lying on one line through the pivot means, and 0 where nothing is left of it.
    """
    natural, random = _natural_and_random(evidence.rows(test, experiments), test["column"])
    if natural.empty or random.empty:
        return Found(np.nan, because="no natural or no random-label network met its criterion")
    because = f"random labels {random.mean():.3g}, the others {natural.min():.3g} to {natural.max():.3g}"
    return Found(float(random.mean() / natural.median()), because=because)


def _natural_and_random(table: pd.DataFrame, column: str) -> tuple[pd.Series, pd.Series]:
    return table[~table.random_labels][column].dropna(), table[table.random_labels][column].dropna()


@statistic
def ratio_between_sizes(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The mean of a column at one training size over that at another, both as asked for or the nearest there is."""
    table = evidence.rows(test, experiments)
    means = table.groupby("train_size")[test["column"]].mean()
    if len(means) < 2:
        return Found(np.nan, because="fewer than two training sizes")
    large, small = (means.index[np.argmin(np.abs(means.index - size))] for size in (test["large"], test["small"]))
    return Found(float(means[large] / means[small]), because=f"between N = {large:g} and {small:g}")


def _rise(parameters: np.ndarray, errors: np.ndarray, sizes: np.ndarray) -> float:
    means = pd.Series(errors).groupby(parameters).mean()
    beyond = means.index > sizes.max()
    return np.nan if beyond.all() or not beyond.any() else float(means[beyond].max() - means[~beyond].min())


@statistic
def error_beyond_threshold(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The largest mean test error with more parameters than examples, minus the smallest with fewer (Fig. 3)."""
    table = evidence.rows(test, experiments)
    if len(table) and not 0 < table.overparametrized.sum() < len(table):
        return Found(np.nan, because="widths on one side of the threshold only", absent=True)
    return estimate(evidence, _rise, table, "num_parameters", "test_error", "train_size")


@statistic
def slope_beyond_threshold(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The slope of test error on log10 of the number of parameters, with more parameters than examples."""
    table = evidence.rows(test, experiments)
    table = table[table.num_parameters > table.train_size]
    return estimate(evidence, intervals.slope, table.assign(log10=np.log10(table.num_parameters)), "log10", "test_error")


@statistic
def spread_over_noise(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The standard deviation of test errors over networks, in units of the binomial standard error of one of them.

    With ``by: value`` over the seeds of one condition. Near 1 or below, test errors differ as those of one and the same
    network on other test examples would, and no trend in them means anything.
    """
    table = evidence.rows({"labels": "natural"} | test, experiments)
    groups = [rows.test_error for _, rows in table.groupby(test["by"])] if "by" in test else [table.test_error]
    variances = [float(errors.var(ddof=1)) for errors in groups if len(errors) > 1]
    if not variances:
        return Found(np.nan, because="fewer than two such networks")
    p, deviation = table.test_error.mean(), float(np.sqrt(np.mean(variances)))
    noise = np.sqrt(p * (1 - p) / table.test_size.iloc[0])
    return Found(deviation / noise if deviation > 0 else 0.0)


@statistic
def seeds_within_conditions(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The standard deviation of a column over seeds of one condition, over that between conditions' means."""
    by_value = evidence.rows(test, experiments).groupby("value")[test["column"]]
    within, between = np.sqrt(by_value.var(ddof=1).dropna().mean()), by_value.mean().std(ddof=1)
    if not (np.isfinite(within) and np.isfinite(between) and between > 0):
        return Found(np.nan, because="no condition with several seeds")
    return Found(
        float(within / between), because=f"standard deviation over seeds {within:.3g}, between levels {between:.3g}"
    )
