"""The paper's advice to practitioners, tested: does the normalized loss of one training tell when to stop?"""

import numpy as np
import pandas as pd

from puzzles.analysis import intervals

MONITORED = ("norm_train_loss", "train_loss", "rho", "norm_test_loss", "test_loss")
FEWEST = 4  # evaluated epochs


def monitor_experiment(history: pd.DataFrame, fit_groups: tuple[str, ...]) -> pd.DataFrame:
    """One row for each natural-label network and monitored number: what stopping at its minimum would have cost.

    ``tau``: Kendall's tau of the test error with the number over the evaluated epochs. ``stopped_epoch``: the first at which
    the number is smallest; ``error_there``, ``error_last``, ``error_best``: the test error then, at the last epoch, and the
    smallest; ``regret``: error_there - error_best. Test losses are there for comparison: who has no validation set
    does not know them.
    """
    rows = []
    natural = history[history.group.isin(fit_groups) & ~history.network.str.startswith("random_labels")]
    for name, table in natural[natural.epoch > 0].groupby("network", sort=False):
        table = table[np.isfinite(table.train_loss) & np.isfinite(table.norm_train_loss)]
        if len(table) < FEWEST:
            continue
        error = table.test_error.to_numpy()
        for column in MONITORED:
            values = table[column].to_numpy(dtype=float)
            there = int(np.argmin(values))
            row = {"experiment": table.experiment.iloc[0], "network": name, "value": table.value.iloc[0]}
            row |= {"monitored": column, "epochs": len(table), "tau": intervals.kendall(values, error)}
            row |= {"stopped_epoch": int(table.epoch.iloc[there]), "error_there": error[there]}
            row |= {"error_last": error[-1], "error_best": error.min(), "regret": error[there] - error.min()}
            rows.append(row)
    columns = ["experiment", "network", "value", "monitored", "epochs", "tau", "stopped_epoch"]
    return pd.DataFrame(rows, columns=[*columns, "error_there", "error_last", "error_best", "regret"])
