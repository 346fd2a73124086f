"""The report in a real browser: screens, paper, links, keyboard, filters, and a checker of accessibility."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
from conftest import ROOT

from puzzles.base import paths
from puzzles.base.csvs import read_csv, read_tables
from puzzles.output import published
from puzzles.output.report import Results, render

pytestmark = pytest.mark.skipif(bool(browser.missing()), reason=browser.missing())
PAPERS = {"A4": (8.27, 11.69), "Letter": (8.5, 11)}  # inches
MARGIN = 12 / 25.4  # inches, as report.css says


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the published demo."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        source, config = published.read_published("demo")
        pictures = {name: source / "figures" / f"{name}.png" for name in config.figures}
        provenance = json.loads((source / "provenance.json").read_text())
        text = render(config, read_tables(Results, published._reader(source, config)), pictures, provenance)
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    with browser.Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_it_fits_the_screen_without_an_error(chromium: browser.Browser, page: Path, width: int) -> None:
    chromium.complaints.clear()
    chromium.open(page, width)
    chromium.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert chromium.run("document.documentElement.scrollWidth") <= width
    assert chromium.run("[...document.images].every((image) => image.naturalWidth > 0)")
    assert chromium.complaints == []


@pytest.mark.parametrize("paper", PAPERS)
def test_it_prints_whole_on_portrait_paper(chromium: browser.Browser, page: Path, paper: str) -> None:
    width, height = PAPERS[paper]
    chromium.open(page, int((width - 2 * MARGIN) * 96), media="print")
    too_wide = """[...document.querySelectorAll("body *")]
        .filter((part) => part.getBoundingClientRect().right > innerWidth + 1)
        .map((part) => part.tagName + " " + part.textContent.slice(0, 60))"""
    assert chromium.run(too_wide) == []
    folded = (
        "[...document.querySelectorAll('details > :not(summary)')].filter((part) => !part.getClientRects().length).length"
    )
    assert chromium.run(folded) == 0  # without a script opening them
    cut = """[...document.querySelectorAll("div, td, pre")].filter((part) => part.scrollWidth > part.clientWidth + 1
        && getComputedStyle(part).display !== "inline").map((part) => part.textContent.slice(0, 60))"""
    assert chromium.run(cut) == []
    pdf = chromium.pdf(width, height)
    sizes = {tuple(map(float, box)) for box in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)}
    assert [pytest.approx(size, abs=1) for size in sizes] == [(72 * width, 72 * height)]
    assert len(re.findall(rb"/Type /Page\b", pdf)) > 10


def test_every_anchor_leads_somewhere_and_claims_and_figures_to_each_other(chromium: browser.Browser, page: Path) -> None:
    chromium.open(page)
    dead = """[...document.querySelectorAll('a[href^="#"]')].map((a) => a.getAttribute("href").slice(1))
        .filter((id) => id && !document.getElementById(id))"""
    assert chromium.run(dead) == []
    links = """Object.fromEntries([...document.querySelectorAll('%s')].map((part) =>
        [part.id, [...part.querySelectorAll('a[href^="%s"]')].map((a) => a.hash.slice(1))]))"""
    claims, figures = chromium.run(links % ("tr[id]", "#fig")), chromium.run(links % ("section.figure", "#claim-"))
    card = read_csv(ROOT / "results" / "reference" / "demo" / "tables" / "scorecard.csv")
    assert set(claims) == {f"claim-{identifier}" for identifier in card.id}
    assert len(figures) == 24 and all(claims.values())
    for claim, named in claims.items():
        for figure in set(named) - {"figures"}:
            assert claim in figures[figure], (claim, figure)
    assert [figure for figure, named in figures.items() if not named] == []


def test_a_link_opens_what_is_folded_and_shows_what_is_filtered_away(chromium: browser.Browser, page: Path) -> None:
    chromium.open(page, anchor="#settings-init_bn")
    assert chromium.run("document.getElementById('settings-init_bn').open")
    chromium.open(page)
    chromium.run("text.value = 'no such words'; filter()")
    assert chromium.run("document.getElementById('shown').textContent") == "0 claims, 0 figures"
    chromium.run("new Promise((done) => { location.hash = '#claim-5b'; setTimeout(done, 300); })")
    assert chromium.run("document.getElementById('claim-5b').getClientRects().length") == 1
    top = chromium.run("document.getElementById('claim-5b').getBoundingClientRect().top")
    assert 0 <= top < 900


def test_filters_show_what_they_are_asked_for(chromium: browser.Browser, page: Path) -> None:
    card = read_csv(ROOT / "results" / "reference" / "demo" / "tables" / "scorecard.csv")
    chromium.open(page)
    chromium.run("byVerdict.value = 'reproduced'; filter()")
    assert chromium.run("document.getElementById('shown').textContent").startswith(
        f"{(card.verdict == 'reproduced').sum()} claims, "
    )
    chromium.run("byVerdict.value = ''; text.value = 'L1 SLOPE'; filter()")
    found = chromium.run("rows.filter((row) => !row.hidden).map((row) => row.id)")
    assert "claim-9a" in found and "claim-1a" not in found
    assert "fig09" in chromium.run("shownFigures.filter((part) => !part.hidden).map((part) => part.id)")
    chromium.run("new Promise((done) => { controls.reset(); setTimeout(done, 300); })")
    assert chromium.run("document.getElementById('shown').textContent") == f"{len(card)} claims, 24 figures"


def test_it_is_complete_without_scripts(chromium: browser.Browser, page: Path) -> None:
    chromium.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(page)
        assert chromium.run("document.getElementById('filters').getClientRects().length") == 0
        hidden = (
            "[...document.querySelectorAll('#scorecard-table tr, section.figure')].filter((p) => !p.getClientRects().length)"
        )
        assert chromium.run(f"{hidden}.length") == 0
    finally:
        chromium.send("Emulation.setScriptExecutionDisabled", value=False)


def test_scroll_boxes_are_reached_and_moved_by_keyboard(chromium: browser.Browser, page: Path) -> None:
    chromium.open(page, 390)
    focused = []
    for _ in range(60):
        chromium.press("Tab")
        focused.append(chromium.run("document.activeElement.getAttribute('aria-label') || document.activeElement.tagName"))
        if focused[-1] == "table: what the line is made of":
            break
    assert focused[-1] == "table: what the line is made of", focused
    for _ in range(5):
        chromium.press("ArrowRight")
    assert chromium.run("new Promise((done) => setTimeout(() => done(document.activeElement.scrollLeft), 800))") > 0
    wide = (
        "[...document.querySelectorAll('.wide')].filter((box) => box.tabIndex < 0 || !box.getAttribute('aria-label')).length"
    )
    assert chromium.run(wide) == 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_a_checker_of_accessibility_finds_nothing_serious(
    chromium: browser.Browser, page: Path, width: int, scheme: str
) -> None:
    chromium.open(page, width, scheme)
    chromium.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    chromium.run(f"{browser.axe()}; 0")
    found = chromium.run("axe.run().then((results) => results.violations.map((v) => [v.impact, v.id, v.nodes[0].html]))")
    assert [violation for violation in found if violation[0] in ("serious", "critical")] == []
    assert found == []


def test_the_pictures_are_described_by_their_numbers(chromium: browser.Browser, page: Path) -> None:
    chromium.open(page)
    described = chromium.run("Object.fromEntries(shownFigures.map((part) => [part.id, part.querySelector('img').alt]))")
    fits = read_csv(paths.WORKFLOW.parent / "results" / "reference" / "demo" / "tables" / "fits.csv")
    line = fits[
        (fits.experiment == "init_bn") & (fits.norm == "l2") & (fits.networks == "all") & (fits.snapshot != "last")
    ].iloc[0]
    assert f"slope {line.slope:.3g}, R² {line.r2:.4f}" in described["fig12"]
    assert all(re.search(r"\d\.\d", text) for text in described.values())
