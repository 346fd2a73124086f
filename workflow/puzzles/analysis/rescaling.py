"""The R sweep of Eq. 6: what becomes of the line, and of the ranking, when the normalized outputs are made larger."""

import numpy as np
import pandas as pd

from puzzles.analysis import intervals
from puzzles.base.dictionary import columns_of

COLUMNS = columns_of("rescaling")


def rescale_experiment(rescaled: pd.DataFrame) -> pd.DataFrame:
    """One row for each R (1, 10, ..., 10^6, and rho: the network as it is), over networks that met their criterion.

    ``train_loss``: the median over natural-label networks. ``r2`` and ``slope``: of test on training loss of R f~, natural
    labels. ``tau``: of the test error with that training loss, with a 95 % interval. ``random_labels_miss``: how far the
    random-label networks are from the line, on average, over the range of the natural networks' test losses.
    """
    if rescaled.empty:
        return pd.DataFrame(columns=COLUMNS)
    rows = []
    for rescaling, table in rescaled[rescaled.met_criterion].groupby("rescaling", sort=False):
        natural, random = table[~table.random_labels], table[table.random_labels]
        x, y = natural.train_loss.to_numpy(), natural.test_loss.to_numpy()
        row = {"experiment": table.experiment.iloc[0], "rescaling": rescaling, "n": len(natural)}
        if len(natural) >= 3 and np.isfinite([x, y]).all():
            slope = intervals.slope(x, y)
            row |= {"train_loss": float(np.median(x)), "r2": intervals.r_squared(x, y), "slope": slope}
            estimate = intervals.interval(intervals.kendall, natural, "train_loss", "test_error")
            row |= dict(zip(("tau", "tau_low", "tau_high"), estimate, strict=True))
            if len(random) and np.ptp(y) > 0:
                residual = random.test_loss - (y.mean() + slope * (random.train_loss - x.mean()))
                row["random_labels_miss"] = float(residual.abs().mean() / np.ptp(y))
        rows.append(row)
    return pd.DataFrame(rows).reindex(columns=COLUMNS)
