"""Published runs: keep a finished run's tables and figures under version control, and draw them again without training.

python -m puzzles.output.published publish demo
python -m puzzles.output.published redraw [demo]
"""

import json
import multiprocessing
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import yaml

from puzzles.base import paths
from puzzles.base.csvs import read_all, read_csv
from puzzles.base.errors import PuzzleError, ResultsError
from puzzles.base.files import atomic
from puzzles.config.configuration import Config, load_config
from puzzles.output.plots import FigureTables, draw
from puzzles.output.report import Results, render

FOLDERS = ("measurements", "history", "families", "histograms", "figures")
RUN_TABLES = ("fits", "ranks", "scorecard")
RECORDS = ("config.yaml", "specs.json", "provenance.json")


def publish(run: str) -> Path:
    """Copy what a finished run has found, but for the weights, to results/reference/<run>, in place of what was there.

    Raises:
        ResultsError: the run is not finished.
    """
    source, target = paths.RESULTS / run, paths.REFERENCE / run
    wanted = [*RECORDS, *(f"tables/{table}.csv" for table in RUN_TABLES), *FOLDERS]
    missing = [name for name in wanted if not (source / name).exists()]
    if missing:
        raise ResultsError(f"{source}: found no {missing[0]}, expected a finished run (one with a report)")
    raw = yaml.safe_load((source / "config.yaml").read_text())
    raw.pop("data_dir", None)  # a folder of the machine that it ran on
    config = load_config(raw)
    new = target.with_name(f".{run}.new")
    shutil.rmtree(new, ignore_errors=True)
    (new / "tables").mkdir(parents=True)
    for name in [*RECORDS, *(f"tables/{table}.csv" for table in RUN_TABLES)]:
        shutil.copy(source / name, new / name)
    (new / "config.yaml").write_text(yaml.safe_dump(raw, sort_keys=False, width=125))
    for folder in FOLDERS:  # only those of this configuration: files of an earlier one may be there
        names = config.figures if folder == "figures" else config.experiments
        (new / folder).mkdir()
        for name in names:
            for suffix in (".png", ".pdf") if folder == "figures" else (".csv",):
                shutil.copy(source / folder / f"{name}{suffix}", new / folder)
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)
    return target


def redraw(run: str | None = None) -> Path:
    """Draw every figure and the report of a published run, to results/<run>-redrawn; the largest run unless one is named.

    Raises:
        ResultsError: no such run is published.
    """
    source = paths.REFERENCE / (run or largest_run())
    if not (source / "config.yaml").is_file():
        raise ResultsError(
            f"{source}: found no published run, expected one of: {', '.join(paths.published_runs()) or 'none yet'}"
        )
    target = paths.RESULTS / f"{source.name}-redrawn"
    config = load_config(yaml.safe_load((source / "config.yaml").read_text()))
    tables = FigureTables(
        _experiments(source, "measurements", config), _table(source, "fits"), _experiments(source, "histograms", config)
    )
    (target / "figures").mkdir(parents=True, exist_ok=True)
    pictures = {name: target / "figures" / f"{name}.png" for name in config.figures}
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = [
            pool.submit(draw, figure, config.experiments, tables, pictures[name], pictures[name].with_suffix(".pdf"))
            for name, figure in config.figures.items()
        ]
        for job in jobs:
            job.result()
    results = Results(tables.measurements, tables.fits, _table(source, "ranks"), _table(source, "scorecard"))
    provenance = json.loads((source / "provenance.json").read_text())
    page = render(config, results, pictures, provenance, tables=f"../reference/{source.name}/")
    with atomic(target / "report.html") as temporary:
        temporary.write_text(page)
    return target


def largest_run() -> str:
    """The published run with the most computation: training and test examples times epochs, over all networks.

    Raises:
        ResultsError: none is published.
    """

    def work(run: str) -> float:
        config = load_config(yaml.safe_load((paths.REFERENCE / run / "config.yaml").read_text()))
        table = _experiments(paths.REFERENCE / run, "measurements", config).drop_duplicates(["experiment", "network"])
        return float(((table.train_size + table.test_size) * table.epoch).sum())

    if not paths.published_runs():
        raise ResultsError(f"{paths.REFERENCE}: found no published run, expected at least one")
    return max(paths.published_runs(), key=work)


def _table(source: Path, name: str) -> pd.DataFrame:
    return read_csv(source / "tables" / f"{name}.csv")


def _experiments(source: Path, folder: str, config: Config) -> pd.DataFrame:
    return read_all(source / folder / f"{name}.csv" for name in config.experiments)


def main(arguments: list[str]) -> None:
    """The command line above."""
    commands = {"publish": publish, "redraw": redraw}
    if not arguments or arguments[0] not in commands or (arguments[0] == "publish" and len(arguments) != 2):
        sys.exit("usage: python -m puzzles.output.published publish RUN, or redraw [RUN]")
    try:
        print(commands[arguments[0]](*filter(None, arguments[1:2])))
    except PuzzleError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
