"""The scorecard: each claim of the paper with a verdict, which follows from the tables of a run."""

import numpy as np
import pandas as pd
import yaml

from puzzles.analysis.claim_statistics import STATISTICS
from puzzles.analysis.evidence import Evidence, Found
from puzzles.base import paths

REPRODUCED, NOT_REPRODUCED, NOT_RUN = "reproduced", "not reproduced", "not run at this scale"
COLUMNS = ["id", "figure", "kind", "statement", "paper", "quantity", "ours", "low", "high", "interval"]
COLUMNS += ["verdict", "why", "experiments"]


def load_claims() -> list[dict]:
    """The entries of claims.yaml, in its order."""
    return yaml.safe_load(paths.CLAIMS.read_text())["claims"]


def scorecard(evidence: Evidence) -> pd.DataFrame:
    """One row for each claim: the paper's number, ours with its interval, the verdict and why."""
    return pd.DataFrame([judge(claim, evidence) for claim in load_claims()], columns=COLUMNS)


def judge(claim: dict, evidence: Evidence) -> dict:
    """One row of the scorecard.

    The verdict is ``not run at this scale`` if an experiment that the claim needs is not in the run, has other data or
    another size, or has too few networks that met their criterion. Otherwise every test of the claim must hold.
    """
    row = {column: claim.get(column, "") for column in ("id", "figure", "kind", "statement", "paper")}
    row |= {"quantity": _quantity(claim["tests"][0]), "ours": np.nan, "low": np.nan, "high": np.nan, "interval": ""}
    experiments = claim.get("experiments", list(evidence.config.experiments))
    row["experiments"] = " ".join(experiments)
    absent = [name for name in experiments if name not in evidence.config.experiments]
    if absent:
        return row | {"verdict": NOT_RUN, "why": f"{', '.join(absent)} is not part of this run"}
    unmet = _unmet(claim.get("needs", {}), evidence, experiments)
    results = [
        (test, STATISTICS[test["of"]](evidence, test, test.get("experiments", experiments))) for test in claim["tests"]
    ]
    first = results[0][1]
    row |= {"ours": first.value, "low": first.low, "high": first.high, "interval": first.kind}
    why = "; ".join(_sentence(test, found) for test, found in results)
    if unmet:
        return row | {"verdict": NOT_RUN, "why": f"{unmet}; here: {why}"}
    if any(np.isnan(found.value) or _lacks_interval(test, found) for test, found in results):
        return row | {"verdict": NOT_RUN, "why": why}
    verdict = REPRODUCED if all(holds(test, found) for test, found in results) else NOT_REPRODUCED
    return row | {"verdict": verdict, "why": why}


def _lacks_interval(test: dict, found: Found) -> bool:
    """Whether the test asks for an interval, but the run has too few networks for one."""
    return test.get("judge", "value") != "value" and np.isnan(found.low)


def holds(test: dict, found: Found) -> bool:
    """Whether a statistic is within the bounds of a test: its value or, with ``judge``, its whole interval or part of it."""
    low, high = _bounds(test)
    kind = test.get("judge", "value")
    if kind == "value" or np.isnan(found.low):
        return bool(low <= found.value <= high)
    if kind == "interval":
        return bool(low <= found.low and found.high <= high)
    return bool(found.low <= high and low <= found.high)  # touches


def _bounds(test: dict) -> tuple[float, float]:
    if "between" in test:
        return tuple(test["between"])
    if "near" in test:
        return test["near"] - test["within"], test["near"] + test["within"]
    return test.get("at_least", -np.inf), test.get("at_most", np.inf)


def _unmet(needs: dict, evidence: Evidence, experiments: list[str]) -> str:
    """Which of its ``needs`` the run does not meet, if any: a text must be equal, a number must be reached."""
    table = evidence.networks[evidence.networks.experiment.isin(experiments)]
    for column, wanted in needs.items():
        found = table[column].iloc[0] if isinstance(wanted, str) else table[column].max()
        if (isinstance(wanted, str) and found != wanted) or (not isinstance(wanted, str) and found < wanted):
            return f"it is about {column.replace('_', ' ')} {wanted}, this run has {found}"
    return ""


def _quantity(test: dict) -> str:
    """What a test looks at: ``kendall (rho, test_error), natural labels``."""
    about = [str(test[key]) for key in ("column", "x", "y", "architecture") if key in test]
    name = test["of"].replace("_", " ") + (f" ({', '.join(about)})" if about else "")
    return f"{name}, {test['labels']} labels" if test.get("labels") in ("natural", "random") else name


def _sentence(test: dict, found: Found) -> str:
    name = _quantity(test)
    if np.isnan(found.value):
        return f"{name}: {found.because}"
    low, high = _bounds(test)
    if _lacks_interval(test, found):
        return f"{name} {found.value:.6g}: too few networks for an interval"
    ends = f" ({found.low:.4g} to {found.high:.4g})" if np.isfinite(found.low) else ""
    because = f" [{found.because}]" if found.because else ""
    if not np.isfinite([low, high]).any():
        return f"{name} {found.value:.6g}{ends}{because}"
    asked = f"{low:g} to {high:g}" if np.isfinite([low, high]).all() else f"≥ {low:g}" if np.isfinite(low) else f"≤ {high:g}"
    asked = f"{low:g}" if low == high else asked
    asked += {"interval": ", all of the interval", "touches": ", some of the interval"}.get(test.get("judge", "value"), "")
    return f"{name} {found.value:.6g}{ends}{because}, asked {asked}: {'yes' if holds(test, found) else 'no'}"
