"""Short digests that tell Snakemake when a job's description or the library code behind it has changed."""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

from puzzles.base import paths

PACKAGE = "puzzles"


def digest(*values: object) -> str:
    """12 hexadecimal digits of the values' ``repr``."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:12]


def code_digest(module: str) -> str:
    """12 hexadecimal digits of a library module and of all that it imports, e.g. ``code_digest("output.plots")``.

    Comments and docstrings do not count.

    Raises:
        FileNotFoundError: there is no such module.
    """
    return digest(*(essence(_file(name)) for name in sorted(imported_modules(f"{PACKAGE}.{module}"))))


def imported_modules(module: str) -> set[str]:
    """The names of all library modules that run when ``module`` is imported, including itself."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += direct_imports(name)
    return found


@functools.cache
def direct_imports(module: str) -> tuple[str, ...]:
    """The library modules that a module's own import statements name, and the packages that it is in."""
    found = {module.rpartition(".")[0]} - {""}
    for node in _what_runs(ast.parse(_file(module).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module} | {name for name in inside if _exists(name)}
    return tuple(sorted(found))


def _what_runs(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a module except what is only for type checkers."""
    yield node
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    for child in ast.iter_child_nodes(node):
        yield from _what_runs(child)


def _file(module: str) -> Path:
    folder = paths.WORKFLOW.joinpath(*module.split("."))
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def _exists(module: str) -> bool:
    return _file(module).is_file()


@functools.cache
def essence(file: Path) -> str:
    """The code of a file without its comments and docstrings."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
