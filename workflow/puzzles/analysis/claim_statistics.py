"""The statistics that claims are judged by; a test in claims.yaml names one of them in ``of``."""

from collections.abc import Callable

import numpy as np
from torch import nn

from puzzles.analysis import intervals
from puzzles.analysis.columns import WITHOUT
from puzzles.analysis.evidence import EXACT, INTERVAL, RANGE, Evidence, Found, estimate, fitted_line
from puzzles.config.specs import Architecture, from_dict
from puzzles.networks.architectures import build, num_parameters, weight_layers
from puzzles.networks.norms import layer_norms

Statistic = Callable[[Evidence, dict, list[str]], Found]
STATISTICS: dict[str, Statistic] = {}


def statistic(function: Statistic) -> Statistic:
    """Make a function usable as a test's ``of`` in claims.yaml."""
    STATISTICS[function.__name__] = function
    return function


@statistic
def every(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The value of a column that speaks most against the claim, with the range over networks."""
    values = evidence.rows(test, experiments)[test["column"]].dropna()
    if values.empty:
        return Found(np.nan, because="no network to look at")
    low, high = values.min(), values.max()
    worst = low if "at_least" in test else high
    if "between" in test:
        worst = max(values, key=lambda v: max(test["between"][0] - v, v - test["between"][1]))
    return Found(float(worst), float(low), float(high), RANGE)


@statistic
def largest(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The largest value of a column, to see whether any network reaches a bound."""
    values = evidence.rows(test, experiments)[test["column"]].dropna()
    return (
        Found(float(values.max()), because=f"of {len(values)}") if len(values) else Found(np.nan, because="no such network")
    )


@statistic
def mean(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The mean of a column over networks."""
    table = evidence.rows(test, experiments)
    return estimate(lambda values: float(values.mean()), table, test["column"], fewest=1)


@statistic
def deviation(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The standard deviation of a column over networks."""
    table = evidence.rows(test, experiments)
    return estimate(lambda values: float(values.std(ddof=1)), table, test["column"])


@statistic
def kendall(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """Kendall's tau of two columns."""
    return estimate(intervals.kendall, evidence.rows(test, experiments), test["x"], test["y"])


@statistic
def spearman(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """Spearman's rank correlation of two columns."""
    return estimate(intervals.spearman, evidence.rows(test, experiments), test["x"], test["y"])


@statistic
def log_slope(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The exponent b of y ~ x^b: the slope of log y on log x."""
    table = evidence.rows(test, experiments)
    table = table[(table[test["x"]] > 0) & (table[test["y"]] > 0)]
    return estimate(lambda x, y: intervals.slope(np.log(x), np.log(y)), table, test["x"], test["y"])


@statistic
def r_squared(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """R2 of the least-squares line through two columns."""
    return estimate(intervals.r_squared, evidence.rows(test, experiments), test["x"], test["y"])


@statistic
def r_squared_gain(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """How much larger the R2 of test on training loss is after normalization."""

    def gain(*columns: np.ndarray) -> float:
        return intervals.r_squared(*columns[:2]) - intervals.r_squared(*columns[2:])

    columns = ("norm_train_loss", "norm_test_loss", "train_loss", "test_loss")
    return estimate(gain, evidence.rows(test, experiments), *columns)


@statistic
def fit(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """A column of the fitted lines, with its interval where there is one."""
    experiment = evidence.config.experiments[experiments[0]]
    line = fitted_line(evidence, experiments[0], test.get("norm", experiment.norms[0]), test.get("networks", "all"))
    if line is None or not np.isfinite(line[test["column"]]):
        return Found(np.nan, because="fewer networks than a line needs")
    ends = [line.get(f"{test['column']}{kind}_{end}", np.nan) for kind in ("_boot", "") for end in ("low", "high")]
    low, high = ends[:2] if np.isfinite(ends[0]) else ends[2:]
    return Found(float(line[test["column"]]), float(low), float(high), INTERVAL if np.isfinite(low) else EXACT)


@statistic
def slope_difference(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The absolute difference between the slopes of an experiment under two norms."""
    lines = [fitted_line(evidence, experiments[0], norm, "all") for norm in test["norms"]]
    slopes = [line.slope for line in lines if line is not None and np.isfinite(line.slope)]
    if len(slopes) < len(lines):
        return Found(np.nan, because="fewer networks than a line needs")
    return Found(float(abs(slopes[0] - slopes[1])))


@statistic
def slope_intervals_apart(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """How many pairs of experiments have slopes (without random labels) whose 95 % intervals do not overlap."""
    found = [(e, fitted_line(evidence, e, evidence.config.experiments[e].norms[0], WITHOUT)) for e in experiments]
    lines = [line for _, line in found if line is not None and np.isfinite(line.slope_boot_low)]
    without = [e for e, line in found if line is None or not np.isfinite(line.slope_boot_low)]
    if without:
        return Found(np.nan, because=f"no line with an interval in {', '.join(without)}")
    ends = [(line.slope_boot_low, line.slope_boot_high) for line in lines]
    pairs = [(a, b) for k, a in enumerate(ends) for b in ends[:k]]
    apart = sum(a[1] < b[0] or b[1] < a[0] for a, b in pairs)
    slopes = [line.slope for line in lines]
    return Found(float(apart), because=f"of {len(pairs)} pairs; slopes from {min(slopes):.3f} to {max(slopes):.3f}")


@statistic
def image_r_squared(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """R2 when outputs are divided by the output norm of another image: the median and range over images."""
    table = evidence.fits[(evidence.fits.experiment == experiments[0]) & evidence.fits.networks.str.startswith("image_")]
    values = table.r2.dropna()
    if values.empty:
        return Found(np.nan, because="fewer networks than a line needs")
    return Found(float(values.median()), float(values.min()), float(values.max()), f"range over {len(values)} images")


@statistic
def random_labels_rank(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The share of natural-label networks whose column is below that of every random-label network."""
    table = evidence.rows(test, experiments)
    natural, random = (table[table.random_labels == is_random][test["column"]] for is_random in (False, True))
    if natural.empty or random.empty:
        return Found(np.nan, because="no natural or no random-label network met its criterion")
    return Found(float((natural < random.min()).mean()))


@statistic
def random_labels_distance(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """Largest distance of a random-label network from the others' line, over the range of their normalized test losses."""
    line = fitted_line(evidence, experiments[0], evidence.config.experiments[experiments[0]].norms[0], WITHOUT)
    table = evidence.rows(test, experiments)
    natural, random = table[~table.random_labels], table[table.random_labels]
    if line is None or not np.isfinite(line.slope) or random.empty:
        return Found(np.nan, because="no line, or no random-label network met its criterion")
    residual = random.norm_test_loss - (line.intercept + line.slope * random.norm_train_loss)
    because = f"{line.random_labels_residual:+.3g} RMSE above the line"
    return Found(float(residual.abs().max() / np.ptp(natural.norm_test_loss)), because=because)


@statistic
def ratio_between_sizes(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The ratio of a column's means at two training sizes, each the nearest to the one that the test names."""
    table = evidence.rows(test, experiments)
    means = table.groupby("train_size")[test["column"]].mean()
    if len(means) < 2:
        return Found(np.nan, because="fewer than two training sizes")
    large, small = (means.index[np.argmin(np.abs(means.index - size))] for size in (test["large"], test["small"]))
    return Found(float(means[large] / means[small]), because=f"between N = {large:g} and {small:g}")


@statistic
def error_beyond_threshold(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The largest mean test error with more parameters than examples, minus the smallest with fewer (Fig. 3)."""
    table = evidence.rows(test, experiments)
    errors = table.groupby("num_parameters").test_error.mean()
    beyond = errors.index > table.train_size.max()
    if beyond.all() or not beyond.any():
        return Found(np.nan, because="widths on one side of the threshold only")
    return Found(float(errors[beyond].max() - errors[~beyond].min()))


@statistic
def slope_beyond_threshold(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The slope of test error on log10 of the number of parameters, with more parameters than examples."""
    table = evidence.rows(test, experiments)
    table = table[table.num_parameters > table.train_size]
    return estimate(lambda x, y: intervals.slope(np.log10(x), y), table, "num_parameters", "test_error")


@statistic
def seeds_within_conditions(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The standard deviation of a column over the seeds of a condition, divided by that of the conditions' means."""
    by_value = evidence.rows(test, experiments).groupby("value")[test["column"]]
    within, between = np.sqrt(by_value.var(ddof=1).dropna().mean()), by_value.mean().std(ddof=1)
    if not (np.isfinite(within) and np.isfinite(between) and between > 0):
        return Found(np.nan, because="no condition with several seeds")
    return Found(
        float(within / between), because=f"standard deviation over seeds {within:.3g}, between levels {between:.3g}"
    )


@statistic
def rising_rho(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The share of steps between evaluated epochs in which rho grows, once the training error is 0."""
    table = evidence.history[evidence.history.experiment.isin(experiments)]
    table = table.drop_duplicates(["network", "epoch"])  # experiments may share networks, whose names include their hashes
    steps: list[bool] = []
    for _, rows in table.groupby("network"):
        fitted = rows[(rows.train_error == 0).cummax()]
        steps += list(fitted.rho.diff().dropna() > 0)
    if not steps:
        return Found(np.nan, because="no network was evaluated twice after reaching zero training error")
    return Found(float(np.mean(steps)), because=f"{len(steps)} steps")


@statistic
def parameters(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """How many parameters an architecture of the configuration has, once batch norm is absorbed."""
    known = evidence.config.raw["architectures"]
    if test["architecture"] not in known:
        return Found(np.nan, because="not in this configuration")
    architecture = from_dict(Architecture, known[test["architecture"]])
    return Found(float(num_parameters(build(architecture, tuple(test["input"]), test["classes"]))))


@statistic
def l1_divisor(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The number that each layer's L1 norm is divided by (Fig. 9), found by adding up the weights of a network."""
    network = build(Architecture("conv", (3, 4), bias="first"), (1, 8, 8), 10)
    for parameter in network.parameters():
        nn.init.constant_(parameter, -0.25)
    sums = [sum(float(p.detach().double().abs().sum()) for p in layer.parameters()) for _, layer in weight_layers(network)]
    ratios = [total / norm for total, norm in zip(sums, layer_norms(network, "l1"), strict=True)]
    return Found(float(np.mean(ratios)), min(ratios), max(ratios), RANGE)


@statistic
def settings(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The share of networks whose specs have the settings named (``network``, and ``pretrain`` for their pretraining)."""
    hits = []
    for name in experiments:
        experiment = evidence.config.experiments[name]
        for network in (n for n in experiment.networks if n.group in test.get("groups", experiment.fit_groups)):
            wanted = [(network.spec, f, v) for f, v in test.get("network", {}).items()]
            if network.pretraining is not None:
                wanted += [(network.pretraining, f, v) for f, v in test.get("pretrain", {}).items()]
            hits.append(all(getattr(spec, field) == value for spec, field, value in wanted))
    return Found(float(np.mean(hits)))


@statistic
def arithmetic(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """How far the paper's mean -+ standard deviation are from the ends it states."""
    (low, high), mean, spread = test["ends"], test["mean"], test["std"]
    return Found(max(abs(mean - spread - low), abs(mean + spread - high)))
