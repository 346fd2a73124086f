"""Networks of one's own: ``builder: "module:function"``, where its code is, and a digest of it for the hash of a spec."""

import ast
import functools
import importlib.machinery
import importlib.metadata
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from puzzles.base.digests import digest, essence
from puzzles.base.errors import ConfigError
from puzzles.config.specs import Architecture


def is_own(builder: str) -> bool:
    """Whether a builder is one of the user's, ``module:function``."""
    return ":" in builder


def locate_builders(architectures: dict[str, dict], files: Iterable[str | Path]) -> None:
    """Note under ``path`` where the module of each own builder is, if it is a file beside one of the configuration files.

    Later files go before earlier ones, as their settings do. A module that is beside none has to be installed.
    """
    for settings in architectures.values():
        builder = settings.get("builder") if isinstance(settings, dict) else None
        if not isinstance(builder, str) or not is_own(builder) or "path" in settings:
            continue
        module = builder.partition(":")[0]
        for file in files:
            place = Path(file).parent.joinpath(*module.split(".")).with_suffix(".py")
            if place.is_file():
                settings["path"] = place.as_posix()


def own_architecture(key: str, settings: dict) -> Architecture:
    """The architecture of an own builder, with a digest of its source.

    Raises:
        ConfigError: its code is not found, cannot be read, or has no such function.
    """
    builder, path = settings["builder"], settings.get("path", "")
    for setting in sorted(set(settings) - {"builder", "arguments", "path"}):
        raise ConfigError(f"config: {key}.{setting}: found it with builder {builder}, expected it under arguments")
    source = _source(builder, path)
    if source is None:
        where = path or f"a file {builder.partition(':')[0]}.py beside the overlay, or an installed module"
        raise ConfigError(f"config: {key}.builder: found no code of {builder!r}, expected {where}")
    try:
        functions = {
            n.name for n in ast.walk(ast.parse(source.read_text())) if isinstance(n, (ast.FunctionDef, ast.ClassDef))
        }
        code = _code(source)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ConfigError(f"config: {key}.builder: found no Python in {source}: {error}") from error
    function = builder.partition(":")[2]
    if path and function not in functions:
        raise ConfigError(f"config: {key}.builder: found no function {function} in {source}, expected one")
    arguments = settings.get("arguments", {})
    text = json.dumps(arguments, sort_keys=True) if arguments else ""
    return Architecture(builder, arguments=text, source=digest(code, _version(builder, path)), path=path)


def with_argument(architecture: Architecture, name: str, value: object) -> Architecture:
    """An own architecture with another value of one argument of its builder."""
    arguments = json.loads(architecture.arguments or "{}") | {name: value}
    return replace(architecture, arguments=json.dumps(arguments, sort_keys=True))


def _source(builder: str, path: str) -> Path | None:
    """The file of a builder's module, found without importing it."""
    if path:
        return Path(path) if Path(path).is_file() else None
    spec, places = None, None
    module = builder.partition(":")[0]
    for k in range(len(module.split("."))):
        name = ".".join(module.split(".")[: k + 1])
        spec = importlib.machinery.PathFinder.find_spec(name, places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


def _version(builder: str, path: str) -> str:
    """The version of the installed package that a builder is from: its code imports more than its own file."""
    if path:
        return ""
    try:
        return importlib.metadata.version(builder.split(".")[0].partition(":")[0])
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def _code(file: Path) -> tuple[str, ...]:
    """What counts of a file and of the files beside it that it imports: not comments, not docstrings, not where it is."""
    found, waiting = {}, [file]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = essence(path)
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            beside = (file.parent.joinpath(*name.split(".")).with_suffix(".py") for name in names)
            waiting += [candidate for candidate in beside if candidate.is_file()]
    return tuple(found[path] for path in sorted(found, key=lambda path: path.name))
