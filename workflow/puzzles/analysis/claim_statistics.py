"""The statistics that claims are judged by: what a test in claims.yaml names in ``of``."""

from puzzles.analysis import column_statistics, history_statistics, line_statistics, setting_statistics
from puzzles.analysis.registry import STATISTICS

MODULES = (column_statistics, line_statistics, history_statistics, setting_statistics)  # importing them fills the registry

__all__ = ["MODULES", "STATISTICS"]
