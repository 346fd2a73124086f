"""The pages are true: generated ones are what they are made from, every column is described, every link leads somewhere."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from workspace import RUN, Workspace

from puzzles.analysis.columns import derived
from puzzles.analysis.intervals import kendall
from puzzles.base import paths
from puzzles.base.csvs import read_csv
from puzzles.base.dictionary import columns_of, ordered, tables
from puzzles.config.configuration import load_config_files
from puzzles.output import reference_pages

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "config/README.md"])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def table_of(file: Path) -> str:
    """The described table that a CSV file of a run, or of bench, holds."""
    if file.parent.name == "bench":
        return f"bench/{file.stem}"
    if file.parent.name == "tables":
        return "measurements" if file.stem == "networks" else file.stem
    return file.parent.name


def header(file: Path) -> list[str]:
    with file.open(newline="") as lines:
        return next(csv.reader(lines))


def described(column: str, names: list[str]) -> str | None:
    """The entry that describes a column: its own, or one with <k> for a number."""
    return next((n for n in names if re.fullmatch(re.escape(n).replace("<k>", r"[1-9]\d*"), column)), None)


def test_every_column_of_every_table_is_described_and_every_description_has_a_column(run_once: Workspace) -> None:
    files = [*(ROOT / "results/reference").rglob("*.csv"), *(run_once.folder / RUN).rglob("*.csv")]
    assert len(files) > 150
    used: dict[str, set[str]] = {name: set() for name in tables()}
    for file in files:
        name = table_of(file)
        assert name in used, f"{file}: no table {name} in {paths.COLUMNS.name}"
        for column in header(file):
            entry = described(column, columns_of(name))
            assert entry is not None, f"{file}: {column} is not described under {name}"
            used[name].add(entry)
        if name in ordered():
            assert header(file) == columns_of(name), file
    measured = read_csv(run_once.folder / RUN / "measurements/init_3layer.csv")
    used["derived"] = set(derived(measured)) - set(measured)
    for name in tables():
        assert set(columns_of(name)) - used[name] == set(), f"{name}: described, but no file has it"
    assert used["derived"] == set(columns_of("derived"))


def test_a_column_that_nobody_has_described_would_be_noticed() -> None:
    names = columns_of("measurements")
    assert described("layer_norm_12", names) == "layer_norm_<k>"
    for unknown in ("layer_norm_", "layer_norm_0", "new_column", "active_units_x"):
        assert described(unknown, names) is None


def test_every_described_table_is_written_by_a_run(run_once: Workspace) -> None:
    for name, table in tables().items():
        if "file" in table and not name.startswith("bench/"):
            assert list((run_once.folder / RUN).glob(table["file"].replace("<experiment>", "*"))), name


def test_columns_that_figures_can_draw_are_described() -> None:
    schema = yaml.safe_load(paths.SCHEMA.read_text())
    known = {
        *columns_of("measurements"),
        *columns_of("derived"),
        "max_output",
        "norm_max_output",
    }  # these two are histograms
    assert set(schema["$defs"]["column"]["enum"]) <= known


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("name", reference_pages.PAGES)
def test_a_generated_page_is_what_it_is_made_from(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == reference_pages.PAGES[name](), (
        f"docs/{name} is older than its source: make docs"
    )


def leaves(schema: dict, node: dict, key: str = "") -> Iterator[str]:
    """The names of all keys that the schema knows, each once where it is defined."""
    for name, child in node.get("properties", {}).items():
        yield name
        yield from leaves(schema, child, name)
    for inside in (node.get("additionalProperties"), node.get("items")):
        if isinstance(inside, dict):
            yield from leaves(schema, inside)
    for form in node.get("oneOf", []):
        yield from leaves(schema, form)


def test_every_configuration_key_is_on_its_page_with_a_description() -> None:
    schema = yaml.safe_load(paths.SCHEMA.read_text())
    page = (ROOT / "docs/configuration.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert all(len(row) == 4 and row[3].strip(" |") for row in rows)
    names = {re.split(r"[.\]]+", row[0].strip("| `"))[-1] for row in rows}
    parents = {"run", "download", "runtime", "datasets", "architectures", "experiments", "figures"}  # sections
    keys = {*leaves(schema, schema), *leaves(schema, schema["$defs"]["network"])}
    assert keys - names - parents == set()
    assert len(rows) == len({row[0] for row in rows})


def test_no_description_of_the_schema_is_cut_at_a_comma() -> None:
    """In {description: one, two} YAML takes the second part for a key without a value."""

    def empty_keys(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            yield from (str(k) for k, v in node.items() if v is None)
            for value in node.values():
                yield from empty_keys(value)
        elif isinstance(node, list):
            for value in node:
                yield from empty_keys(value)

    assert list(empty_keys(yaml.safe_load(paths.SCHEMA.read_text()))) == []
    assert list(empty_keys(tables())) == []


# ---------------------------------------------------------------- links


def anchors(page: Path) -> set[str]:
    """GitHub's names of the headings of a page, and those given by hand."""
    found: list[str] = []
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for heading in re.findall(r"^#{1,6} (.*)$", text, re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        name = "".join(c for c in plain.lower().strip() if c.isalnum() or c in " -_").replace(" ", "-")
        found.append(f"{name}-{found.count(name)}" if name in found else name)
    return {*found, *re.findall(r'<a (?:id|name)="([^"]+)"', text)}


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in PAGES])
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    path = ROOT / page
    for link in LINK.findall(re.sub(r"`[^`\n]*`", "", path.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert target.suffix == ".md" and anchor in anchors(target), f"{page}: {link}"


def test_every_page_of_docs_is_listed() -> None:
    listed = {link.partition("#")[0] for link in LINK.findall((ROOT / "docs/README.md").read_text())}
    assert {path.name for path in ROOT.glob("docs/*.md")} - {"README.md"} <= listed


def targets_of_make() -> set[str]:
    return set(re.findall(r"^([a-z]+|fig%):", (ROOT / "Makefile").read_text(), re.M))


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix() for path in PAGES if path.name != "CHANGELOG.md"])
def test_every_command_that_a_page_shows_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    known = targets_of_make()
    for target in re.findall(r"(?:^    |`)make ([a-z]\w*)", text, re.M):
        assert target in known or re.fullmatch(r"fig\w+", target), f"{page}: make {target}"
    for file in re.findall(r"--configfile (workflow/\S+\.yaml)", text):
        assert (ROOT / file).is_file(), f"{page}: {file}"
    figures = load_config_files(ROOT / "config.yaml").figures
    for figure in re.findall(r"snakemake (?:-n )?(fig\d\d)", text):
        assert figure in figures or figure in text.partition("figures:")[2], f"{page}: {figure}"


def test_readme_is_short() -> None:
    """Its caption's numbers are held against the tables in test_results_page.py."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 90


# ---------------------------------------------------------------- messages


OTHERS = (
    "No space left on device",
    "snakemake: command not found",
    "Error: Directory cannot be locked",
    "Nothing to be done",
    "This could indicate a clock skew problem",
)


def sources() -> str:
    """All code that can say something, with string literals that stand one below the other joined."""
    files = [*ROOT.glob("workflow/**/*.py"), *ROOT.glob("workflow/**/*.smk"), ROOT / "Makefile"]
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text() for path in files))


def test_every_message_of_the_troubleshooting_page_is_one_that_the_code_can_say() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text()
    messages = [
        m for line in page.splitlines() if line.startswith("| `") for m in re.findall(r"`([^`]+)`", line.split(" | ")[0])
    ]
    assert len(messages) > 40
    code = sources()
    for message in messages:
        if message in OTHERS:
            continue
        for part in re.split("…", message):
            assert part.strip(" :;,(") in code, f"{message}: nothing says {part!r}"


def test_where_the_limitations_say_that_two_numbers_order_networks_alike_they_do() -> None:
    """The normalized training loss and rho, where initial weights or the labels of the pretraining are swept."""
    for file in sorted((paths.REFERENCE / "small" / "measurements").glob("[ci]*.csv")):
        table = read_csv(file)
        table = table[
            (table.norm == "l2") & (table.snapshot == table.snapshot.iloc[0]) & table.met_criterion & ~table.random_labels
        ]
        if file.stem != "init_resnet":
            assert kendall(table.norm_train_loss.to_numpy(), table.rho.to_numpy()) > 0.95, file.stem


def test_another_description_gives_another_page(monkeypatch: pytest.MonkeyPatch) -> None:
    other = yaml.safe_load(paths.COLUMNS.read_text())
    other["tables"]["fits"]["columns"]["slope"]["about"] = "Something else | with a bar."
    monkeypatch.setattr(reference_pages, "tables", lambda: other["tables"])
    page = reference_pages.columns_page()
    assert "| `slope` | Something else \\| with a bar. |" in page and page != (ROOT / "docs/columns.md").read_text()
