"""All tables that follow from what was measured of one experiment."""

from pathlib import Path

import numpy as np
import pandas as pd

from puzzles.analysis.fits import fit_experiment
from puzzles.analysis.monitoring import monitor_experiment
from puzzles.analysis.pivots import pivot_experiment
from puzzles.analysis.predictors import rank_experiment
from puzzles.analysis.rescaling import rescale_experiment


def analyse_experiment(
    measurements: pd.DataFrame,
    families: pd.DataFrame,
    rescaled: pd.DataFrame,
    history: pd.DataFrame,
    fit_groups: tuple[str, ...],
    correct: dict[str, np.ndarray] | None = None,
) -> dict[str, pd.DataFrame]:
    """The fitted lines, rank correlations, pivots, the R sweep and the monitoring of one experiment, by table.

    Args:
        correct: which test examples each network gets right, by name (``read_correct``); counted in intervals where known.
    """
    return {
        "fits": fit_experiment(measurements, families, fit_groups),
        "ranks": rank_experiment(measurements, fit_groups, correct),
        "pivots": pivot_experiment(measurements, fit_groups),
        "rescaling": rescale_experiment(rescaled),
        "monitoring": monitor_experiment(history, fit_groups),
    }


def read_correct(path: str | Path) -> dict[str, np.ndarray]:
    """Which test examples each network gets right, by name, [N] bool: see ``tables.correct_bits``."""
    with np.load(path, allow_pickle=False) as stored:
        bits = np.unpackbits(stored["bits"], axis=1, count=int(stored["test_size"][0])).astype(bool)
        return dict(zip(stored["networks"].tolist(), bits, strict=True))
