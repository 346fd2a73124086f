"""Look after results: check a run against its checksums, specs and configuration; show and free what takes space.

python -m puzzles.output.upkeep verify [demo]
python -m puzzles.output.upkeep usage
python -m puzzles.output.upkeep clean demo
python -m puzzles.output.upkeep prune
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from puzzles.base import paths
from puzzles.base.errors import PuzzleError, ResultsError
from puzzles.base.files import atomic, sha256
from puzzles.config.configuration import Config, load_config
from puzzles.output.reuse import resolved_specs
from puzzles.output.weights import weights_of
from puzzles.training.experiment_files import read_networks

CHECKSUMS = "checksums.txt"  # as sha256sum writes it, and sha256sum --check reads it
LEFT_OUT = ("logs", "benchmarks", CHECKSUMS)  # they say when and where, and change without a result
OTHERS = {"data", "cache", "reference", "bench"}  # folders in results that are no runs


def write_checksums(folder: Path) -> None:
    """Write the sha256 of every file of a run, but for logs, beside them."""
    lines = [f"{sha256(file)}  {file.relative_to(folder).as_posix()}\n" for file in _files(folder)]
    with atomic(folder / CHECKSUMS) as temporary:
        temporary.write_text("".join(lines))


def verify(run: str | None = None) -> list[str]:
    """What does not match in a run, finished or published, or in all of them; a line for each, none if all is well.

    Checked are: the checksum of every file; that the specs recorded are those of the configuration recorded; that files of
    weights are whole, and of these networks.

    Raises:
        ResultsError: there is no such run, or it has no checksums.
    """
    folders = [paths.RESULTS / name for name in _runs()] + [paths.REFERENCE / name for name in paths.published_runs()]
    chosen = [folder for folder in folders if run in (None, folder.name)]
    if not chosen:
        known = ", ".join(sorted({folder.name for folder in folders})) or "none yet"
        raise ResultsError(f"{run}: found no run of this name, expected one of: {known}")
    return [f"{folder}: {line}" for folder in chosen for line in _problems(folder)]


def _problems(folder: Path) -> Iterator[str]:
    if not (folder / CHECKSUMS).is_file():
        yield f"no {CHECKSUMS}: not finished, or made by an earlier version"
        return
    lines = (line.partition("  ") for line in (folder / CHECKSUMS).read_text().splitlines())
    stored = {name: digest for digest, _, name in lines}
    there = {file.relative_to(folder).as_posix(): file for file in _files(folder)}
    for name, digest in stored.items():
        if name not in there:
            yield f"{name} is missing"
        elif sha256(there[name]) != digest:
            yield f"{name} is not as it was written"
    yield from (f"{name} was added since" for name in there if name not in stored)
    try:
        config = load_config(yaml.safe_load((folder / "config.yaml").read_text()))
        specs = json.loads((folder / "specs.json").read_text())
    except (OSError, ValueError, yaml.YAMLError, PuzzleError) as error:
        yield f"config.yaml or specs.json cannot be read ({error})"
        return
    yield from _of_specs(folder, config, specs)


def _of_specs(folder: Path, config: Config, specs: dict) -> Iterator[str]:
    expected = json.loads(json.dumps(resolved_specs(config)))
    for name in config.experiments:
        for network, spec in expected[name].items():
            if specs.get(name, {}).get(network) != spec:
                yield f"specs.json: {name}: {network} is not what config.yaml describes"
        weights = weights_of(folder, name)
        if weights.is_file():
            try:
                found, _ = read_networks(weights)
            except PuzzleError as error:
                yield str(error)
                continue
            wanted = {n.name: n.spec for n in config.experiments[name].networks}
            if {k: v for k, v in found.items() if "@" not in k} != wanted:
                yield f"{weights.name}: holds other networks than config.yaml describes"


def usage() -> list[tuple[str, float]]:
    """What takes space below results, in MB: each run, the published ones, the data sets, the cache."""
    folders = [paths.RESULTS / name for name in _runs()] + [paths.REFERENCE, paths.RESULTS / "data"]
    folders += [paths.CACHE / "networks", paths.CACHE / "checkpoints"]
    return [(str(folder), sum(f.stat().st_size for f in _every_file(folder)) / 1e6) for folder in folders if folder.is_dir()]


def clean(run: str) -> Path:
    """Remove a run from results. What is published stays, and so does the cache (``prune``).

    Raises:
        ResultsError: there is no such run.
    """
    if run not in _runs():
        raise ResultsError(f"{paths.RESULTS / run}: found no run, expected one of: {', '.join(_runs()) or 'none yet'}")
    shutil.rmtree(paths.RESULTS / run)
    return paths.RESULTS / run


def prune() -> list[Path]:
    """Remove networks from the cache that no run in results has; return their files.

    Raises:
        ResultsError: a run is not finished, so that nobody knows which networks it still needs.
    """
    needed: set[str] = set()
    for name in _runs():
        specs = paths.RESULTS / name / "specs.json"
        if not specs.is_file():
            raise ResultsError(f"{specs.parent}: is not finished; finish it first, or remove it with clean")
        needed |= {network["hash"] for networks in json.loads(specs.read_text()).values() for network in networks.values()}
    removed = [file for file in sorted((paths.CACHE / "networks").glob("[!.]*.safetensors")) if file.stem not in needed]
    removed += [file for file in sorted((paths.CACHE / "checkpoints").glob("[!.]*.pt")) if file.stem not in needed]
    for file in removed:
        file.unlink()
    return removed


def _runs() -> list[str]:
    if not paths.RESULTS.is_dir():
        return []
    folders = (p for p in paths.RESULTS.iterdir() if p.is_dir() and not p.name.endswith("-redrawn"))
    return sorted(p.name for p in folders if p.name not in OTHERS and not p.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    """The results in a folder, by name."""
    return [f for f in _every_file(folder) if f.relative_to(folder).parts[0] not in LEFT_OUT and not f.name.startswith(".")]


def _every_file(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _show(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def main(arguments: list[str] | None = None) -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="python -m puzzles.output.upkeep", description="Look after results.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("verify", help="check runs against checksums and specs").add_argument("run", nargs="?")
    commands.add_parser("usage", help="what takes space")
    commands.add_parser("clean", help="remove a run").add_argument("run")
    commands.add_parser("prune", help="remove networks of no run from the cache")
    given = parser.parse_args(arguments)
    try:
        if given.command == "verify":
            problems = verify(given.run)
            _show(problems or ["everything is as it was written"])
            sys.exit(bool(problems))
        if given.command == "usage":
            _show(f"{size:10.1f} MB  {folder}" for folder, size in usage())
        if given.command == "clean":
            print(f"{clean(given.run)} is removed")
        if given.command == "prune":
            print(f"{len(prune())} files removed from the cache")
    except PuzzleError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
