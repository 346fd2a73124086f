"""The project's own files agree with each other."""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path

import torch
import yaml
from conftest import ROOT
from packaging.requirements import Requirement

ENVS = ROOT / "envs"


def pins() -> list[str]:
    lines = (ENVS / "requirements.txt").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def test_pip_and_conda_install_the_same_list() -> None:
    conda = yaml.safe_load((ENVS / "environment.yml").read_text())["dependencies"]
    (pip,) = [entry["pip"] for entry in conda if isinstance(entry, dict)]
    assert pip == pins()
    python = next(entry for entry in conda if isinstance(entry, str) and entry.startswith("python"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert python == f"python{project['requires-python']}"


def test_everything_is_pinned_and_the_pins_are_what_runs_here() -> None:
    for line in pins():
        requirement = Requirement(line)
        assert re.fullmatch(r"==[\w.+!]+", str(requirement.specifier)), line
        if requirement.marker is None or requirement.marker.evaluate():
            assert requirement.specifier.contains(version(requirement.name)), line
    wanted = {Requirement(x).name for x in (ENVS / "requirements.in").read_text().splitlines() if x and x[0] != "#"}
    assert wanted <= {Requirement(line).name for line in pins()}


def test_no_module_is_long() -> None:
    for path in [*ROOT.glob("workflow/**/*.py"), *ROOT.glob("workflow/**/*.smk")]:
        lines = len(path.read_text().splitlines())
        assert lines <= (60 if path.parent.name == "scripts" else 300), f"{path.name} has {lines} lines"


def names_below(path: Path, root: str) -> Iterator[str]:
    """Everything that a module writes as ``root.a.b``, without ``root``."""
    for node in ast.walk(ast.parse(path.read_text())):
        name, parts = node, []
        while isinstance(name, ast.Attribute):
            parts.append(name.attr)
            name = name.value
        if parts and isinstance(name, ast.Name) and name.id == root:
            yield ".".join(reversed(parts))


def exists(name: str) -> bool:
    try:
        attrgetter(name)(torch)
    except AttributeError:
        return False
    return True


def test_what_modules_take_from_torch_exists() -> None:
    """Some lines run on a GPU only: where there is none, no other test would notice a name that is not there."""
    modules = [*ROOT.glob("workflow/**/*.py"), *ROOT.glob("bench/*.py")]
    names = {(path.name, name) for path in modules for name in names_below(path, "torch")}
    assert len(names) > 100
    assert sorted((module, name) for module, name in names if not exists(name)) == []
