"""The library's packages: each imports only from those before it, and a rule's digest covers what its code imports."""

import ast
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from puzzles.base import digests
from puzzles.base.digests import code_digest, direct_imports, imported_modules

ORDER = ["base", "normalize", "config", "data", "networks", "training", "analysis", "output"]
LIBRARY = ROOT / "workflow" / "puzzles"
MODULES = sorted(
    ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts)
    for path in LIBRARY.glob("*/*.py")
    if path.name != "__init__.py"
)


def package(module: str) -> str:
    return module.split(".")[1]


def test_every_module_is_in_a_package_that_says_what_lives_there() -> None:
    assert {path.name for path in LIBRARY.iterdir() if path.is_dir()} - {"__pycache__"} == set(ORDER)
    assert [path.name for path in LIBRARY.glob("*.py")] == ["__init__.py"]
    for name in ORDER:
        text = ast.get_docstring(ast.parse((LIBRARY / name / "__init__.py").read_text())) or ""
        assert len(re.findall(r"\.(?:\s|$)", text)) == 2, f"{name}/__init__.py: expected two sentences, found: {text}"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_its_own_package_and_those_before_it(module: str) -> None:
    for imported in direct_imports(module):
        if imported.count(".") >= 1:
            assert ORDER.index(package(imported)) <= ORDER.index(package(module)), f"{module} imports {imported}"


def test_no_modules_import_each_other() -> None:
    for module in MODULES:
        behind = {m for name in direct_imports(module) if name in MODULES for m in imported_modules(name)}
        assert module not in behind, f"{module} is imported by what it imports"


def test_measuring_needs_no_engine_and_reading_rules_no_torch() -> None:
    """What Python really loads, not what the source says."""
    for module, unwanted in {
        "analysis.tables": ["puzzles.training.population", "puzzles.training.stacked_engine"],
        "training.devices": ["puzzles.training.stacked_engine"],
        "output.reuse": ["torch"],
        "output.announcements": ["torch", "pandas"],
        "output.status": ["torch", "pandas"],
        "config.configuration": ["torch", "numpy"],
    }.items():
        code = f"import sys, puzzles.{module}; print([m for m in {unwanted} if m in sys.modules])"
        environment = {"PYTHONPATH": str(LIBRARY.parent)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]", module


def test_a_digest_covers_what_the_code_imports_and_nothing_else() -> None:
    plots, fits = imported_modules("puzzles.output.plots"), imported_modules("puzzles.analysis.fits")
    for name in ("output.panels", "output.axes", "output.style", "analysis.columns", "base.files", "config.specs"):
        assert f"puzzles.{name}" in plots
    assert "puzzles.analysis.intervals" in fits
    assert "puzzles.output.style" not in fits
    assert "puzzles.networks.norms" in imported_modules("puzzles.analysis.tables")


def test_a_digest_changes_with_code_two_imports_away_but_not_with_a_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_digest("output.plots")
    original = digests.essence

    def change(text: str) -> str:
        tree = LIBRARY / "base" / "files.py"
        monkeypatch.setattr(digests, "essence", lambda f: text if f == tree else original(f))
        return code_digest("output.plots")

    assert change("something else") != before
    assert change(original(LIBRARY / "base" / "files.py")) == before
