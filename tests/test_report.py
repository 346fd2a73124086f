"""The report and the redrawing of a published run, from the tables of the demo that are committed."""

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from puzzles.analysis.claims import load_claims
from puzzles.base.csvs import read_csv
from puzzles.base.errors import ResultsError
from puzzles.config.choices import changes, our_choices
from puzzles.config.configuration import load_config_files
from puzzles.output import published
from puzzles.output.claim_rows import figures_of
from puzzles.output.report import _in_order

DEMO = ROOT / "results" / "reference" / "demo"


@pytest.fixture(scope="module")
def redrawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo, redrawn elsewhere as `make figures RUN=demo` does."""
    folder = tmp_path_factory.mktemp("redrawn")
    shutil.copytree(DEMO, folder / "results" / "reference" / "demo")
    command = [sys.executable, "-m", "puzzles.output.published", "redraw", "demo"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT / "workflow")}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "results/demo-redrawn"
    return folder / "results" / "demo-redrawn"


@pytest.fixture(scope="module")
def page(redrawn: Path) -> str:
    return (redrawn / "report.html").read_text()


def test_the_published_tables_are_those_that_this_version_makes(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "reference" / "demo"
    shutil.copytree(DEMO, folder)
    command = [sys.executable, "-m", "puzzles.output.published", "analyse", "demo"]
    subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT / "workflow")}, check=True, capture_output=True
    )
    for path in sorted((DEMO / "tables").glob("*.csv")):
        assert (folder / "tables" / path.name).read_bytes() == path.read_bytes(), f"{path.name}: run make analyse RUN=demo"


def test_every_figure_is_drawn_again(redrawn: Path) -> None:
    names = {path.name for path in (DEMO / "figures").iterdir()}
    assert len(names) == 2 * 24
    assert {path.name for path in (redrawn / "figures").iterdir()} == names
    assert {path.suffix for path in (redrawn / "figures").iterdir()} == {".png", ".pdf"}


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    assert page.count("data:image/png;base64,") == 24
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert not re.search(r"@import|url\(", page)
    assert len(re.findall("<script>", page)) == 1


def test_links_lead_to_files(page: str, redrawn: Path) -> None:
    links = set(re.findall(r'href="([^"#:]+)"', page))
    assert len(links) > 21
    assert [link for link in links if not (redrawn / link).is_file()] == []
    anchors = set(re.findall(r'href="#([^"]+)"', page))
    assert anchors <= set(re.findall(r'id="([^"]+)"', page))


def test_every_claim_is_on_the_page_with_its_verdict(page: str) -> None:
    card = read_csv(DEMO / "tables" / "scorecard.csv")
    assert list(card.id) == [claim["id"] for claim in load_claims()]
    text = html.unescape(page)
    for row in card.itertuples():
        assert row.statement in text
        assert row.why in text
    assert page.count('data-verdict="reproduced"') == (card.verdict == "reproduced").sum()


def test_the_claims_of_a_figure_are_found_by_its_number() -> None:
    assert figures_of("5-8, 11") == ["5", "6", "7", "8", "11"]
    assert figures_of("2 c, d") == ["2"]
    assert figures_of("J") == ["J"]
    assert figures_of("App. C") == figures_of("all convolutional") == ["other"]
    assert _in_order({"figJ": 0, "fig10": 0, "fig02": 0}) == ["fig02", "fig10", "figJ"]


def test_networks_that_missed_are_counted_and_listed(page: str) -> None:
    tables = [read_csv(path) for path in sorted((DEMO / "measurements").glob("*.csv"))]
    firsts = [t[(t.snapshot == t.snapshot.iloc[0]) & (t.norm == t.norm.iloc[0])] for t in tables]
    missed = [name for t in firsts for name in t[~t.met_criterion].network]
    assert f"{len(missed)} networks missed the criterion" in page
    assert all(name in page for name in missed)


def test_our_choices_are_those_of_the_configuration() -> None:
    text = (ROOT / "config.yaml").read_text()
    choices = our_choices(yaml.safe_load(text))
    assert len(choices) == sum("our choice" in line for line in text.splitlines()) - 1  # the first line explains the words
    by_key = {choice["key"]: choice for choice in choices}
    assert by_key["experiments.init_3layer.network.momentum"]["value"] == "0.5"
    assert by_key["experiments.width.sweep"]["note"] == "our choice"


def test_what_a_run_changes_is_listed() -> None:
    assert changes(load_config_files(ROOT / "config.yaml").raw) == []
    demo = load_config_files(ROOT / "config.yaml", ROOT / "workflow" / "runs" / "demo.yaml")
    rows = {row["key"]: row for row in changes(demo.raw)}
    assert rows["experiments.width.network.dataset"] == {
        "key": "experiments.width.network.dataset",
        "paper": "cifar10",
        "here": "digits",
    }
    assert rows["experiments.init_3layer.network.lr_milestones"]["here"] == ""  # removed


def test_what_is_not_there_is_named(workdir: Path) -> None:
    with pytest.raises(ResultsError, match="expected a finished run"):
        published.publish("demo")
    with pytest.raises(ResultsError, match="found no published run"):
        published.redraw()
    (workdir / "results" / "reference").mkdir(parents=True)
    (workdir / "results" / "reference" / "demo").symlink_to(DEMO)
    with pytest.raises(ResultsError, match="reference/paper: found no published run, expected one of: demo"):
        published.redraw("paper")
    assert published.largest_run() == "demo"
    (workdir / "results" / "reference" / "small").symlink_to(DEMO.with_name("small"))
    assert published.largest_run() == "small"


@pytest.mark.skipif(
    shutil.which("chromium") is None, reason="no chromium here (Debian package chromium): with it, the page is opened in it"
)
@pytest.mark.parametrize("width", [400, 1400])
def test_a_browser_opens_it_without_an_error_and_without_a_horizontal_bar(redrawn: Path, tmp_path: Path, width: int) -> None:
    probe = (
        (redrawn / "report.html")
        .read_text()
        .replace(
            "</body>",
            "<script>byVerdict.value = 'reproduced'; filter();"
            "document.body.dataset.probe = [document.documentElement.scrollWidth, innerWidth,"
            " document.getElementById('shown').textContent].join('|');</script></body>",
        )
    )
    (tmp_path / "probe.html").write_text(probe)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--hide-scrollbars", "--dump-dom"]
    where = [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", f"file://{tmp_path / 'probe.html'}"]
    done = subprocess.run(["chromium", *options, *where], capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    content, window, shown = re.search(r'data-probe="(\d+)\|(\d+)\|([^"]+)"', done.stdout).groups()
    assert int(content) <= int(window) <= max(width, 500)  # chromium has no window below 500 pixels
    card = read_csv(DEMO / "tables" / "scorecard.csv")
    assert shown == f"{(card.verdict == 'reproduced').sum()} claims"
