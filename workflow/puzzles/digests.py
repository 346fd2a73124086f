"""Short digests that tell Snakemake when a job's description or the library code behind it has changed."""

import ast
import hashlib
from pathlib import Path


def digest(*values: object) -> str:
    """12 hexadecimal digits of the values' ``repr``."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:12]


def code_digest(*modules: str) -> str:
    """12 hexadecimal digits of library modules, e.g. ``code_digest("plots")``: comments and docstrings do not count."""
    folder = Path(__file__).parent
    return digest(*(_essence((folder / f"{module}.py").read_text()) for module in modules))


def _essence(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
