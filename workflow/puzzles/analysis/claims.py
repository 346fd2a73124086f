"""The scorecard: what the paper claims, and whether a run bears it out. No verdict is written by hand.

A statistic that has a 95 % interval is judged by it: wholly inside the bounds it holds, wholly outside it fails, and
otherwise the run cannot tell. A claim is reproduced when all its tests hold, not reproduced when one fails.
"""

import itertools

import numpy as np
import pandas as pd
import yaml

from puzzles.analysis.claim_statistics import STATISTICS
from puzzles.analysis.evidence import INTERVAL, Evidence, Found
from puzzles.base import paths
from puzzles.base.dictionary import columns_of

REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_RUN = "reproduced", "not reproduced", "undecided", "not run at this scale"
HOLDS, DOES_NOT_HOLD = "holds", "does not hold"  # of identities
VERDICTS, OF_IDENTITIES = (REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_RUN), (HOLDS, DOES_NOT_HOLD, UNDECIDED, NOT_RUN)
YES, NO, OPEN, ABSENT, SHOWN = "yes", "no", "undecided", "absent", "shown"  # what a test comes to
DECISIVE = ((NO, NOT_REPRODUCED), (ABSENT, NOT_RUN), (OPEN, UNDECIDED), (YES, REPRODUCED))  # the first that a claim has
COLUMNS = columns_of("scorecard")
SPREADS: dict[str, dict] = {"spread": {}, "seed_spread": {"by": "value"}}  # needs: over all networks, over seeds alone
OF_SPECS = (("", "network"), ("pretraining ", "pretrain"))  # a test's keys that name settings, and how they are said
PART, BUT_HERE = "; ", "; here: "  # in ``why``: between tests, and after what the claim is about and the run has not
OF_COLUMNS = ("column", "x", "y", "given", "minus", "by")  # a test's keys that name a column of a table


def load_claims() -> list[dict]:
    """The entries of claims.yaml, in its order; one with ``each`` becomes one claim for each experiment named there."""
    claims = []
    for claim in yaml.safe_load(paths.CLAIMS.read_text())["claims"]:
        for name in claim.get("each", ()):
            about = {"id": f"{claim['id']}-{name}", "statement": f"{claim['statement'].rstrip('.')}, in {name}."}
            claims.append({k: v for k, v in claim.items() if k != "each"} | about | {"experiments": [name]})
        claims += [] if "each" in claim else [claim]
    return claims


def scorecard(evidence: Evidence) -> pd.DataFrame:
    """One row for each claim: the paper's number, ours with its interval, the verdict and why."""
    return pd.DataFrame([judge(claim, evidence) for claim in load_claims()], columns=COLUMNS)


def count_verdicts(card: pd.DataFrame) -> tuple[dict[str, int], dict[str, int]]:
    """How many claims of a scorecard have each verdict; and how many identities, which no run could fail, hold or not."""
    identities = card.kind == "identity"
    claims = {verdict: int((card[~identities].verdict == verdict).sum()) for verdict in VERDICTS}
    return claims, {verdict: int((card[identities].verdict == verdict).sum()) for verdict in OF_IDENTITIES}


def judge(claim: dict, evidence: Evidence) -> dict:
    """One row of the scorecard; its quantity, value, bounds and ``outcome`` are those of the test that decided.

    ``why`` has a part for each test, separated by semicolons (``parts_of_why``).

    ``not run at this scale``: an experiment or a column that it needs is not part of the run, or the run has other data or
    another size than the claim is about. ``undecided``: an interval contains a bound, too few networks met their criterion,
    or the networks' test errors differ by no more than chance (``needs: {spread: 2}``;
    ``seed_spread`` of seeds alone).
    """
    row = {column: claim.get(column, "") for column in ("id", "figure", "kind", "statement", "paper")}
    row |= {"quantity": _quantity(claim["tests"][0]), "ours": np.nan, "low": np.nan, "high": np.nan, "interval": ""}
    experiments = claim.get("experiments", list(evidence.config.experiments))
    row |= {"experiments": " ".join(experiments), "asked": _asked(claim["tests"][0]), "outcome": ABSENT}
    absent = [name for name in experiments if name not in evidence.config.experiments]
    if absent:
        return row | {"verdict": NOT_RUN, "why": f"{', '.join(absent)} is not part of this run"}
    found = [(test, _found(evidence, test, test.get("experiments", experiments))) for test in claim["tests"]]
    results = [(test, number, outcome(test, number)) for test, number in found]
    decided, verdict = next(((o, v) for o, v in DECISIVE if any(o == result[2] for result in results)), (SHOWN, UNDECIDED))
    why = PART.join(_sentence(*result) for result in results)
    unmet_scale, unmet_spread = _unmet(claim, evidence, experiments)
    if unmet_scale or unmet_spread:
        decided, verdict = results[0][2], NOT_RUN if unmet_scale else UNDECIDED
        why = f"{unmet_scale or unmet_spread}{BUT_HERE}{why}"
    test, number = next((test, number) for test, number, o in results if o == decided)
    row |= {"quantity": _quantity(test), "ours": number.value, "low": number.low, "high": number.high}
    row |= {"interval": number.kind if np.isfinite(number.low) else "", "asked": _asked(test), "outcome": decided}
    if claim["kind"] == "identity":
        verdict = {REPRODUCED: HOLDS, NOT_REPRODUCED: DOES_NOT_HOLD}.get(verdict, verdict)
    return row | {"verdict": verdict, "why": why}


def parts_of_why(why: str) -> tuple[str, list[str]]:
    """The reason why a run cannot decide a claim (empty if it can), and a sentence for each of its tests."""
    reason, _, tests = why.rpartition(BUT_HERE)
    return reason, tests.split(PART)


def _found(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    known = set(evidence.table) | set(evidence.history) | set(evidence.fits)
    missing = [test[key] for key in OF_COLUMNS if key in test and test[key] not in known]
    if missing:
        return Found(np.nan, because=f"this run has no column {missing[0]}", absent=True)
    return STATISTICS[test["of"]](evidence, test, experiments)


def outcome(test: dict, found: Found) -> str:
    """Whether a statistic is where the test wants it: yes, no, undecided, absent from this run, or shown without a bound.

    ``judge: value`` looks at the value where an interval has no meaning, ``judge: interval`` at the range of what has none.
    """
    low, high = _bounds(test)
    if not np.isfinite([low, high]).any():
        return SHOWN
    if np.isnan(found.value):
        return ABSENT if found.absent else OPEN
    if test.get("judge", "interval" if found.kind == INTERVAL else "value") == "value":
        return YES if low <= found.value <= high else NO
    if np.isnan(found.low):
        return OPEN
    if low <= found.low and found.high <= high:
        return YES
    return NO if found.high < low or high < found.low else OPEN


def _bounds(test: dict) -> tuple[float, float]:
    if "between" in test:
        return tuple(test["between"])
    if "near" in test:
        return test["near"] - test["within"], test["near"] + test["within"]
    return test.get("at_least", -np.inf), test.get("at_most", np.inf)


def _unmet(claim: dict, evidence: Evidence, experiments: list[str]) -> tuple[str, str]:
    """What the claim is about and the run has not: data or a size, and a spread of test errors beyond chance."""
    needs, table = claim.get("needs", {}), evidence.table[evidence.table.experiment.isin(experiments)]
    for column, wanted in needs.items():
        if column in SPREADS:
            continue
        values = table[column]
        met = (values == wanted).all() if isinstance(wanted, str) else values.max() >= wanted
        if len(values) and not met:
            found = ", ".join(sorted(set(values.astype(str)))) if isinstance(wanted, str) else f"{values.max():g}"
            return f"it is about {column.replace('_', ' ')} {wanted}, this run has {found}", ""
    for need, name in itertools.product([n for n in SPREADS if n in needs], experiments):
        spread = STATISTICS["spread_over_noise"](evidence, SPREADS[need], [name])
        if not spread.value >= needs[need]:
            of = "networks" if need == "spread" else "networks of the same settings"
            few = f"{of} differ by only {spread.value:.2f} standard errors of their test error"
            return "", f"{spread.because or few} ({name})"
    return "", ""


def _quantity(test: dict) -> str:
    """What a test looks at: ``kendall (rho, test_error), natural labels``."""
    about = [str(test[key]) for key in ("column", "x", "y", "architecture") if key in test]
    about += [f"{key} {test[key]}" for key in ("given", "minus", "norm") if key in test]
    about += [f"{prefix}{k} {v}" for prefix, of in OF_SPECS for k, v in test.get(of, {}).items()]
    name = test["of"].replace("_", " ") + (f" ({', '.join(about)})" if about else "")
    return f"{name}, {test['labels']} labels" if test.get("labels") in ("natural", "random") else name


def _asked(test: dict) -> str:
    """The bounds of a test in words: ``≥ 0.6``; empty without bounds."""
    low, high = _bounds(test)
    if np.isfinite([low, high]).all():
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"≥ {low:g}" if np.isfinite(low) else f"≤ {high:g}" if np.isfinite(high) else ""


def _sentence(test: dict, found: Found, outcome: str) -> str:
    name = _quantity(test) + (f" in {' and '.join(test['experiments'])}" if "experiments" in test else "")
    reason = found.because.replace(PART, ", ")
    if np.isnan(found.value):
        return f"{name}: {reason}"
    ends = f" ({found.low:.4g} to {found.high:.4g})" if np.isfinite(found.low) else ""
    because = f" [{reason}]" if reason else ""
    if outcome == SHOWN:
        return f"{name} {found.value:.6g}{ends}{because}"
    too_few = ": too few networks for an interval" if outcome == OPEN and not ends else ""
    by_value = ", by value" if found.kind == INTERVAL and test.get("judge") == "value" else ""
    return f"{name} {found.value:.6g}{ends}{because}, asked {_asked(test)}{by_value}: {outcome}{too_few}"
