"""The names by which claims.yaml asks for statistics."""

from collections.abc import Callable

from puzzles.analysis.evidence import Evidence, Found

Statistic = Callable[[Evidence, dict, list[str]], Found]
STATISTICS: dict[str, Statistic] = {}


def statistic(function: Statistic) -> Statistic:
    """Make a function usable as a test's ``of`` in claims.yaml."""
    STATISTICS[function.__name__] = function
    return function
