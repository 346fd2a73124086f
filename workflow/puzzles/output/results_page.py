"""The page docs/results.md: for each figure, what the paper shows and what the published runs found. No number is typed.

python -m puzzles.output.results_page
"""

import json
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import jinja2
import pandas as pd
import yaml

from puzzles.analysis.claims import NOT_REPRODUCED, NOT_RUN, REPRODUCED, UNDECIDED, VERDICTS, count_verdicts
from puzzles.analysis.columns import FAMILIES
from puzzles.base import paths
from puzzles.base.csvs import read_csv
from puzzles.base.files import atomic
from puzzles.config.configuration import Config, panel_experiments
from puzzles.output.claim_rows import figure_name, figures_of
from puzzles.output.evidence_sections import line_rows
from puzzles.output.plots import panel_fits
from puzzles.output.published import read_published, runs_by_work
from puzzles.output.report import format_minutes, format_number
from puzzles.output.style import r_squared_text

PAGE = paths.WORKFLOW.parent / "docs" / "results.md"


@dataclass(frozen=True)
class Run:
    """A published run as the page shows it."""

    name: str
    folder: Path
    config: Config
    provenance: dict

    def table(self, name: str) -> pd.DataFrame:
        """One of the run's tables."""
        return read_csv(self.folder / "tables" / f"{name}.csv")

    @cached_property
    def verdicts(self) -> dict[str, dict]:
        """The rows of the scorecard by claim."""
        card = self.table("scorecard").fillna({"paper": "", "interval": "", "asked": ""})
        return {row["id"]: row for row in card.to_dict("records")}

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many claims have each verdict."""
        return count_verdicts(self.table("scorecard"))[0]

    @cached_property
    def lines(self) -> dict[str, dict]:
        """What the line of each experiment is made of."""
        return {row["experiment"]: row for row in line_rows(self.config, self.table("fits"), self.table("pivots"))}

    @property
    def is_trial(self) -> bool:
        """Whether it has no figure of the paper: it decides a setting, and no claim is about its experiments."""
        return not {figure_name(number) for number in _texts()["shows"]} & set(self.config.figures)

    @cached_property
    def errors(self) -> list[dict]:
        """For each experiment and group, the mean training error at the last snapshot, by the swept value."""
        found = []
        for name, experiment in self.config.experiments.items():
            table = read_csv(self.folder / "measurements" / f"{name}.csv")
            table = table[table.norm == table.norm.iloc[0]].sort_values("epoch").drop_duplicates("network", keep="last")
            for group, rows in table.groupby("group"):
                means = rows.groupby("value").train_error.mean()
                found.append({"experiment": experiment, "group": group, "epochs": rows.epoch.max(), "errors": dict(means)})
        return found

    @property
    def networks(self) -> int:
        """How many different networks it trains, pretrained ones as well."""
        experiments = self.config.experiments.values()
        return len({n.spec.hash for e in experiments for n in (*e.networks, *e.pretrainings)})

    @cached_property
    def seconds(self) -> float:
        """Of the jobs that pretrain, train and measure.

        A job of the last command may have found its networks in the cache: where ``bench/full_size.csv`` knows a longer one
        of this run, that one counts.
        """
        path = paths.REFERENCE / "bench" / "full_size.csv"
        known: dict = {}
        if path.is_file():
            rows = read_csv(path)
            known = dict(rows[rows.run == self.name].set_index(["experiment", "stage"]).minutes * 60)
        jobs = {(name, stage): s for name, stages in self.provenance["seconds"].items() for stage, s in stages.items()}
        return sum(max(seconds, known.get(job, 0.0)) for job, seconds in jobs.items())

    @property
    def gpus(self) -> dict[str, int]:
        """How many networks which GPU has trained, wholly or in part: maybe not one of the machine that ran the rest."""
        found: Counter[str] = Counter()
        for parts in self.provenance.get("trained_by", {}).values():
            for part in parts:
                for device in {engine.partition(" on ")[2] for engine in part["engines"]} - {"cpu"}:
                    found[device] += part["networks"]
        return dict(found)

    def fitted(self, panel: dict) -> dict | None:
        """The line that this run draws in a panel."""
        experiment = self.config.experiments.get(panel["experiment"])
        line = None if experiment is None else panel_fits(panel, experiment, self.table("fits"))
        return None if line is None or pd.isna(line.slope) else dict(line)


def published() -> list[Run]:
    """The published runs, the one with most to do first."""
    found = [(name, *read_published(name)) for name in reversed(runs_by_work())]
    return [Run(*run, json.loads((run[1] / "provenance.json").read_text())) for run in found]


@cache
def _texts() -> dict:
    """What the paper shows in each figure, and why claims may not be reproduced."""
    found: dict = yaml.safe_load(paths.RESULTS_TEXTS.read_text())
    return found


def render(runs: list[Run]) -> str:
    """The page as text."""
    texts = _texts()
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False
    )
    environment.filters |= {"number": format_number, "r2": r_squared_text, "minutes": format_minutes}
    template = environment.from_string(paths.RESULTS_TEMPLATE.read_text())
    trials, everything = [run for run in runs if run.is_trial], runs
    runs = [run for run in runs if not run.is_trial]
    claims = {identifier: row for run in reversed(runs) for identifier, row in run.verdicts.items()}
    return template.render(
        everything=everything,
        trials=trials,
        runs=runs,
        verdicts=VERDICTS,
        figures=[_figure(number, texts["shows"][number], runs, claims) for number in texts["shows"]],
        others=[_claim(row, runs) for row in claims.values() if _is_claim(row) and figures_of(row["figure"]) == ["other"]],
        short={verdict: _decided(verdict, runs, claims) for verdict in (REPRODUCED, NOT_REPRODUCED, UNDECIDED)},
        causes=[cause | {"open": _open(cause, runs, claims)} for cause in texts["causes"]],
        lines=_lines(runs),
    )


def _is_claim(row: dict) -> bool:
    return row["kind"] != "identity"


def _figure(number: str, shows: str, runs: list[Run], claims: dict[str, dict]) -> dict:
    """One figure: what the paper shows, its lines and claims in every run, and a picture of the largest run that has it."""
    name = figure_name(number)
    having = [run for run in runs if name in run.config.figures]
    rows = [_claim(row, runs) for row in claims.values() if _is_claim(row) and figures_of(row["figure"])[0] == number]
    also = [i for i, row in claims.items() if _is_claim(row) and number in figures_of(row["figure"])[1:]]
    picture = f"../{having[0].folder.relative_to(paths.REFERENCE.parents[1])}/figures/{name}.png" if having else ""
    figure: dict = having[0].config.figures[name] if having else {"title": "", "panels": []}
    return {
        "number": number,
        "title": figure["title"],
        "shows": shows,
        "picture": picture,
        "of": having[0].name if having else "",
        "notes": _notes(having[0], figure) if having else [],
        "claims": rows,
        "also": also,
        "lines": [_panel(panel, runs) for panel in figure["panels"] if {"ols", "unit_slope"} & set(panel.get("lines", ()))],
    }


def _notes(run: Run, figure: dict) -> list[str]:
    """What a reader must know about the data of a figure."""
    names = {run.config.experiments[e].dataset for panel in figure["panels"] for e in panel_experiments(panel)}
    datasets = run.config.raw["datasets"]
    return [datasets[name]["note"] for name in sorted(names) if "note" in datasets[name]]


def _panel(panel: dict, runs: list[Run]) -> dict:
    return {
        "title": panel.get("title", "normalized"),
        "paper": panel.get("paper"),
        "found": [(run.name, line) for run in runs if (line := run.fitted(panel))],
    }


def _claim(row: dict, runs: list[Run]) -> dict:
    return {"row": row, "found": [run.verdicts.get(row["id"]) for run in runs]}


def _deciding(identifier: str, runs: list[Run]) -> tuple[Run | None, str]:
    """The largest run that is about a claim, and its verdict there."""
    for run in runs:
        verdict = run.verdicts.get(identifier, {}).get("verdict", NOT_RUN)
        if verdict != NOT_RUN:
            return run, verdict
    return None, NOT_RUN


def _decided(verdict: str, runs: list[Run], claims: dict[str, dict]) -> list[tuple[str, list[str]]]:
    """The claims with a verdict in the largest run that is about them, by that run."""
    found: dict[str, list[str]] = {run.name: [] for run in runs}
    for identifier, row in claims.items():
        run, there = _deciding(identifier, runs)
        if run is not None and there == verdict and _is_claim(row):
            found[run.name].append(identifier)
    return [(name, ids) for name, ids in found.items() if ids]


def _open(cause: dict, runs: list[Run], claims: dict[str, dict]) -> list[str]:
    """Which of the claims that a cause is about are not reproduced in the largest run that is about them."""
    return [i for i in cause["claims"] if i in claims and _deciding(i, runs)[1] == NOT_REPRODUCED]


def _lines(runs: list[Run]) -> list[dict]:
    """For each experiment, from the largest run that has its line: R2 of its own rho and of the null families, and r."""
    found: dict[str, dict] = {}
    for run in runs:
        for name, row in run.lines.items():
            found.setdefault(name, row | {"run": run.name, "null": dict(zip(FAMILIES, row["families"], strict=True))})
    return list(found.values())


def main() -> None:
    """Write the page."""
    with atomic(PAGE) as temporary:
        temporary.write_text(render(published()))
    print(PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE)


if __name__ == "__main__":
    main()
