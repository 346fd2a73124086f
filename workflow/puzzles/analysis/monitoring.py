"""The paper's advice to practitioners, tested: does the normalized loss of one training tell when to stop?"""

import numpy as np
import pandas as pd

from puzzles.analysis import intervals
from puzzles.base.dictionary import columns_of

MONITORED = ("norm_train_loss", "train_loss", "rho", "norm_test_loss", "test_loss")
FEWEST = 4  # evaluated epochs


def stopping_points(history: pd.DataFrame) -> pd.DataFrame:
    """The rows of a history where training could be stopped: evaluated epochs after the first step, with finite losses."""
    return history[(history.epoch > 0) & np.isfinite(history.train_loss) & np.isfinite(history.norm_train_loss)]


def tau(points: pd.DataFrame, monitored: str) -> float:
    """Kendall's tau of the test error with a number over the stopping points of one network; nan with fewer than four."""
    return intervals.kendall(points[monitored].to_numpy(), points.test_error.to_numpy()) if len(points) >= FEWEST else np.nan


def stop(points: pd.DataFrame, monitored: str) -> pd.Series | None:
    """The first of the stopping points of one network where a number is smallest; None with fewer than four."""
    return points.iloc[int(np.argmin(points[monitored].to_numpy()))] if len(points) >= FEWEST else None


def monitor_experiment(history: pd.DataFrame, fit_groups: tuple[str, ...]) -> pd.DataFrame:
    """One row for each natural-label network and monitored number: what stopping at its minimum would have cost.

    ``tau``: Kendall's tau of the test error with the number over the evaluated epochs. ``stopped_epoch``: the first at which
    the number is smallest; ``error_there``, ``error_last``, ``error_best``: the test error then, at the last epoch, and the
    smallest; ``regret``: error_there - error_best. Test losses are there for comparison: who has no validation set
    does not know them.
    """
    rows = []
    natural = history[history.group.isin(fit_groups) & ~history.network.str.startswith("random_labels")]
    for name, points in stopping_points(natural).groupby("network", sort=False):
        for column in MONITORED:
            stopped, error = stop(points, column), points.test_error
            if stopped is None:
                continue
            row = {"experiment": points.experiment.iloc[0], "network": name, "value": points.value.iloc[0]}
            row |= {"monitored": column, "epochs": len(points), "tau": tau(points, column)}
            row |= {"stopped_epoch": int(stopped.epoch), "error_there": stopped.test_error}
            row |= {"error_last": error.iloc[-1], "error_best": error.min(), "regret": stopped.test_error - error.min()}
            rows.append(row)
    return pd.DataFrame(rows, columns=columns_of("monitoring"))
