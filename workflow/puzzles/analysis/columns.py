"""Columns computed from the measurements, for figures and claims; and the values of some columns."""

import numpy as np
import pandas as pd

UNNORMALIZED = "none"  # in the column ``norm``
ALL, WITHOUT = "all", "without_random_labels"  # in the column ``networks`` of the fitted lines
MARGINS = ("min", "p01", "p10")


def derived(table: pd.DataFrame) -> pd.DataFrame:
    """Add columns that are computed from others to the measurements.

    ``*_gap``: test minus training (Figs 1, 19). ``inverse_margin_*``: 1 / margin of the normalized network on the training
    set (App. J), empty where it is not positive. ``chance_loss`` is ln C, ``chance_error`` 1 - 1/C.
    ``from_chance``: the larger distance of the two normalized losses from ln C. ``error_beyond_chance``: the distance of
    the test error from chance, minus max(0.01, 3 standard errors). ``gap_per_depth``: the normalized gap over the distance
    of the training loss from ln C (Fig. 19). ``scale_mismatch``: by how much the ratio of the largest outputs before and
    after normalization differs from rho, relative to rho (Fig. 20).
    """
    columns = {
        "error_gap": table.test_error - table.train_error,
        "loss_gap": table.test_loss - table.train_loss,
        "norm_loss_gap": table.norm_test_loss - table.norm_train_loss,
        "chance_loss": np.log(table.num_classes),
        "chance_error": 1 - 1 / table.num_classes,
    }
    columns["abs_norm_loss_gap"] = columns["norm_loss_gap"].abs()
    losses = table[["norm_train_loss", "norm_test_loss"]]
    columns["from_chance"] = losses.sub(columns["chance_loss"], axis=0).abs().max(axis=1)
    p = columns["chance_error"]
    allowed = np.maximum(0.01, 3 * np.sqrt(p * (1 - p) / table.test_size))
    columns["error_beyond_chance"] = (table.test_error - p).abs() - allowed
    columns["gap_per_depth"] = columns["abs_norm_loss_gap"] / (columns["chance_loss"] - table.norm_train_loss)
    columns["overparametrized"] = table.num_parameters > table.train_size
    columns["max_output_spread"] = table.max_output_std / table.max_output_mean
    ratios = (table[f"max_output_{s}"] / table[f"norm_max_output_{s}"] / table.rho - 1 for s in ("mean", "std"))
    of_mean, of_std = (ratio.abs() for ratio in ratios)
    columns["scale_mismatch"] = np.maximum(of_mean, of_std)
    for name in MARGINS:
        margin = table[f"margin_train_{name}"]
        columns[f"inverse_margin_{name}"] = 1 / margin.where(margin > 0)
    return table.assign(**columns)
