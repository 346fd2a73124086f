"""Published runs: keep a finished run's tables and figures under version control, and draw them again without training.

python -m puzzles.output.published publish demo [--weights]
python -m puzzles.output.published analyse demo [--figures]
python -m puzzles.output.published measure demo [--data-dir data]
python -m puzzles.output.published redraw [demo]
"""

import argparse
import json
import multiprocessing
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from puzzles.analysis.claims import scorecard
from puzzles.analysis.evidence import Evidence
from puzzles.analysis.experiment_analyses import analyse_experiment, read_correct
from puzzles.base import paths
from puzzles.base.csvs import read_csv, read_tables, reread, write_csv
from puzzles.base.errors import PuzzleError, ResultsError
from puzzles.base.files import atomic
from puzzles.config.configuration import Config, as_overlay, load_config
from puzzles.output.plots import FORMATS, FigureTables, draw
from puzzles.output.provenance import commit
from puzzles.output.report import Results, render
from puzzles.output.upkeep import write_checksums
from puzzles.output.weights import keep_weights, measure_published

RUN_TABLES = (*paths.ANALYSES, "scorecard")
PUBLISHED_FORMATS = (".png", ".pdf")
RECORDS = ("config.yaml", "specs.json", "provenance.json")


def publish(run: str, weights: bool = False) -> Path:
    """Copy what a finished run has found to results/reference/<run>, in place of what was there.

    Args:
        weights: copy trained networks too, of the experiments where they are small (``weights.keep_weights``).

    Raises:
        ResultsError: the run is not finished.
    """
    source, target = paths.RESULTS / run, paths.REFERENCE / run
    wanted = [*RECORDS, *(f"tables/{table}.csv" for table in RUN_TABLES), *paths.EXPERIMENT_FILES, "figures"]
    missing = [name for name in wanted if not (source / name).exists()]
    if missing:
        raise ResultsError(f"{source}: found no {missing[0]}, expected a finished run (one with a report)")
    config = load_config(yaml.safe_load((source / "config.yaml").read_text()))
    new = target.with_name(f".{run}.new")
    shutil.rmtree(new, ignore_errors=True)
    (new / "tables").mkdir(parents=True)
    for name in [*RECORDS, *(f"tables/{table}.csv" for table in RUN_TABLES)]:
        shutil.copy(source / name, new / name)
    _write_settings(config, new)
    # only what this configuration has: an earlier one may have left more
    files = {f"{folder}/{name}{suffix}" for folder, suffix in paths.EXPERIMENT_FILES.items() for name in config.experiments}
    files |= {f"figures/{name}{suffix}" for name in config.figures for suffix in PUBLISHED_FORMATS}
    for file in sorted(files):
        (new / file).parent.mkdir(exist_ok=True)
        shutil.copy(source / file, new / file)
    if weights:
        keep_weights(source, new, config)
    write_checksums(new)
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)
    return target


def analyse(run: str, figures: bool = False) -> Path:
    """Make the tables of a published run again from what was measured, with this version's analysis and claims.

    What was measured stays as it is, and so do the figures unless ``figures`` asks to draw them
    again. The settings are written anew, so that they still run where config.yaml has got more. A run
    that is older than a measurement lacks what follows from it.

    Raises:
        ResultsError: no such run is published.
    """
    source, config = read_published(run)
    tables: dict[str, list[pd.DataFrame]] = {}
    correct: dict[str, dict[str, np.ndarray]] = {}
    for name, experiment in config.experiments.items():
        measurements, families, rescaled, history = (
            _experiment(source, folder, name) for folder in ("measurements", "families", "rescaled", "history")
        )
        bits = source / "correct" / f"{name}.npz"
        correct |= {name: read_correct(bits)} if bits.is_file() else {}
        analysed = analyse_experiment(measurements, families, rescaled, history, experiment.fit_groups, correct.get(name))
        for name_of_table, rows in analysed.items():
            tables.setdefault(name_of_table, []).append(reread(rows))
    found = {name: pd.concat(rows, ignore_index=True) for name, rows in tables.items()}
    measured = _experiments(source, "measurements", config)
    evidence = Evidence(config, measured, found["fits"], _experiments(source, "history", config), correct)
    found["scorecard"] = scorecard(evidence)
    for name_of_table, table in found.items():
        write_csv(table, source / "tables" / f"{name_of_table}.csv")
    provenance = json.loads((source / "provenance.json").read_text())
    with atomic(source / "provenance.json") as temporary:
        temporary.write_text(json.dumps(provenance | {"analysed": commit()}, indent=1))
    _write_settings(config, source)
    if figures:
        _draw_figures(source, config, source / "figures", PUBLISHED_FORMATS)
    write_checksums(source)
    return source


def _write_settings(config: Config, folder: Path) -> None:
    """The settings of a run, in a form that ``snakemake --configfile`` runs again, whatever config.yaml has beside them."""
    whole = as_overlay(config.raw, yaml.safe_load(paths.PAPER_CONFIG.read_text()))
    whole.pop("data_dir", None)  # a folder of whoever ran it
    with atomic(folder / "config.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(whole, sort_keys=False, width=125))


def redraw(run: str | None = None) -> Path:
    """Draw every figure and the report of a published run, to results/<run>-redrawn; the largest run unless one is named.

    Raises:
        ResultsError: no such run is published.
    """
    source, config = read_published(run or largest_run())
    target = paths.RESULTS / f"{source.name}-redrawn"
    pictures = _draw_figures(source, config, target / "figures", FORMATS)
    results = read_tables(Results, _reader(source, config))
    provenance = json.loads((source / "provenance.json").read_text())
    page = render(config, results, pictures, provenance, tables=f"../reference/{source.name}/")
    with atomic(target / "report.html") as temporary:
        temporary.write_text(page)
    return target


def _draw_figures(source: Path, config: Config, folder: Path, formats: tuple[str, ...]) -> dict[str, Path]:
    """Draw all figures of a published run from its tables; returns the PNG of each."""
    tables = read_tables(FigureTables, _reader(source, config))
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {name: folder / f"{name}.png" for name in config.figures}
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = [
            pool.submit(draw, figure, config.experiments, tables, *(pictures[name].with_suffix(f) for f in formats))
            for name, figure in config.figures.items()
        ]
        for job in jobs:
            job.result()
    return pictures


def _reader(source: Path, config: Config) -> Callable[[str], pd.DataFrame]:
    def read(name: str) -> pd.DataFrame:
        folder = "measurements" if name == "networks" else name
        return _experiments(source, folder, config) if folder in paths.EXPERIMENT_FILES else _table(source, name)

    return read


def largest_run() -> str:
    """The published run with most to do.

    Raises:
        ResultsError: none is published.
    """
    if not paths.published_runs():
        raise ResultsError(f"{paths.REFERENCE}: found no published run, expected at least one")
    return runs_by_work()[-1]


def runs_by_work() -> list[str]:
    """The published runs, ordered by what there is to do: training and test examples times epochs, over all networks."""

    def work(run: str) -> float:
        source, config = read_published(run)
        table = _experiments(source, "measurements", config).drop_duplicates(["experiment", "network"])
        return float(((table.train_size + table.test_size) * table.epoch).sum())

    return sorted(paths.published_runs(), key=work)


def read_published(run: str) -> tuple[Path, Config]:
    """The folder of a published run and its configuration."""
    source = paths.REFERENCE / run
    if not (source / "config.yaml").is_file():
        known = ", ".join(paths.published_runs()) or "none yet"
        raise ResultsError(f"{source}: found no published run, expected one of: {known}")
    return source, load_config(yaml.safe_load((source / "config.yaml").read_text()))


def _table(source: Path, name: str) -> pd.DataFrame:
    """A table of a published run; empty where the run is older than the table."""
    path = source / "tables" / f"{name}.csv"
    return read_csv(path) if path.is_file() else pd.DataFrame()


def _experiment(source: Path, folder: str, name: str) -> pd.DataFrame:
    """What a published run keeps of an experiment; empty where the run is older than that."""
    path = source / folder / f"{name}.csv"
    return read_csv(path) if path.is_file() else pd.DataFrame()


def _experiments(source: Path, folder: str, config: Config) -> pd.DataFrame:
    return pd.concat([_experiment(source, folder, name) for name in config.experiments], ignore_index=True)


def measure(run: str, data_dir: str = "data") -> Path:
    """Measure the published networks of a run again, with this version's measures, and analyse them.

    Raises:
        ResultsError, DataError: see ``weights.measure_published``.
    """
    measure_published(*read_published(run), Path(data_dir))
    return analyse(run)


def main(arguments: list[str] | None = None) -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="python -m puzzles.output.published", description="Published runs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for function in (publish, analyse, measure, redraw):
        assert function.__doc__ is not None
        command = commands.add_parser(function.__name__, help=function.__doc__.splitlines()[0])
        command.add_argument("run", metavar="RUN", nargs="?" if function is redraw else None)
        if function is publish:
            command.add_argument("--weights", action="store_true", help="trained networks too, where they are small")
        if function is analyse:
            command.add_argument("--figures", action="store_true", help="draw the figures again as well")
        if function is measure:
            command.add_argument("--data-dir", default="data", help="folder with archives or npz files (default: data)")
        command.set_defaults(function=function)
    given = vars(parser.parse_args(arguments))
    try:
        print(given.pop("function")(**given))
    except PuzzleError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
