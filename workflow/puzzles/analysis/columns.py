"""Columns that follow from the measurements, for figures and claims; and what some columns of the tables hold."""

import numpy as np
import pandas as pd

UNNORMALIZED = "none"  # in the column ``norm``
ALL, WITHOUT = "all", "without_random_labels"  # in the column ``networks`` of the fitted lines
FAMILIES = ("untrained", "early", "permuted_rho", "common_constant", "one_rescaled")  # null families, there too
MARGINS = ("min", "p01", "p10")


def diverged(table: pd.DataFrame) -> pd.Series:
    """Whether a network of the measurements or of a history has diverged: a training or test loss that is not finite.

    Or a column ``diverged`` says so.
    """
    losses = table[["train_loss", "test_loss"]].astype(float)
    lost = ~losses.abs().lt(np.inf).all(axis=1)
    return lost | table["diverged"].eq(True) if "diverged" in table else lost


def derived(table: pd.DataFrame) -> pd.DataFrame:
    """The measurements with columns that follow from others.

    ``*_gap``: test minus training (Figs 1, 19). ``inverse_margin_*``: 1 / margin of the normalized network on the training
    set (App. J), empty where it is not positive. ``chance_loss`` is ln C, ``chance_error`` 1 - 1/C.
    ``from_chance``: how far the normalized losses are from ln C at most. ``error_beyond_chance``: how much further the test
    error is from chance than max(0.01, ``chance_deviation``), which is 3 standard errors. ``gap_per_depth``: the normalized
    gap over the distance of the training loss from ln C (Fig. 19). ``scale_mismatch``: how far the largest outputs before
    and after normalization are from being related by rho (Fig. 20).

    ``depth_*``: how far a normalized loss is below ln C, the loss of outputs that are all 0. ``margin_ratio``: test over
    training depth; while outputs are small, of the mean normalized margins. ``loss_ratio``: test over training loss.
    ``nearer_unnormalized``: 1 where the unnormalized test loss (in bits) is nearer to the test error than the normalized
    one, else 0. ``zero_train_error``: 1 where every training example is classified correctly, else 0.
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
    columns["chance_deviation"] = 3 * np.sqrt(p * (1 - p) / table.test_size)
    columns["error_beyond_chance"] = (table.test_error - p).abs() - np.maximum(0.01, columns["chance_deviation"])
    columns["gap_per_depth"] = columns["abs_norm_loss_gap"] / (columns["chance_loss"] - table.norm_train_loss)
    columns |= _of_losses(table, columns["chance_loss"])
    columns["overparametrized"] = table.num_parameters > table.train_size
    columns["max_output_spread"] = table.max_output_std / table.max_output_mean
    ratios = (table[f"max_output_{s}"] / table[f"norm_max_output_{s}"] / table.rho - 1 for s in ("mean", "std"))
    of_mean, of_std = (ratio.abs() for ratio in ratios)
    columns["scale_mismatch"] = np.maximum(of_mean, of_std)
    for name in MARGINS:
        margin = table[f"margin_train_{name}"]
        columns[f"inverse_margin_{name}"] = 1 / margin.where(margin > 0)
    return table.assign(**columns)


def _of_losses(table: pd.DataFrame, chance: pd.Series) -> dict[str, pd.Series]:
    """How losses, depths and errors compare."""
    depth = {split: chance - table[f"norm_{split}_loss"] for split in ("train", "test")}
    unnormalized, normalized = ((table[c] / np.log(2) - table.test_error).abs() for c in ("test_loss", "norm_test_loss"))
    return {
        "depth_train": depth["train"],
        "depth_test": depth["test"],
        "margin_ratio": depth["test"] / depth["train"],
        "loss_ratio": table.test_loss / table.train_loss.where(table.train_loss > 0),
        "nearer_unnormalized": (unnormalized < normalized).astype(float),
        "zero_train_error": (table.train_error == 0).astype(float),
        "parameters_per_example": table.num_parameters / table.train_size,
    }
