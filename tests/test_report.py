"""The report and the redrawing of a published run, from the tables of the demo that are committed."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT

from puzzles.analysis.claims import NOT_REPRODUCED, count_verdicts, load_claims, parts_of_why
from puzzles.base.csvs import read_csv
from puzzles.base.errors import ResultsError
from puzzles.config.choices import changes, our_choices
from puzzles.config.configuration import load_config, load_config_files
from puzzles.output import published
from puzzles.output.claim_rows import figures_of
from puzzles.output.evidence_sections import line_rows
from puzzles.output.headline import headline
from puzzles.output.plots import FORMATS
from puzzles.output.report import LARGEST_SVG, _in_order, embed

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
    names = {path.stem for path in (DEMO / "figures").iterdir()}
    assert len(names) == 24
    assert {path.name for path in (redrawn / "figures").iterdir()} == {f"{n}{f}" for n in names for f in FORMATS}


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    assert page.count("data:image/svg+xml;base64,") == 24
    assert len(page) < 5e6  # with PNGs of 160 dots an inch it had 5.6 MB
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
        assert f'id="claim-{row.id}"' in page
        reason, tests = parts_of_why(row.why)
        assert reason in text
        assert all(f"<li>{test}</li>" in text for test in tests)
    assert page.count('data-verdicts="reproduced">') >= (card.verdict == "reproduced").sum()


def test_a_row_says_which_test_decided_and_by_which_bound(page: str) -> None:
    row = next(part for part in page.split("<tr") if 'id="claim-2g"' in part)
    card = read_csv(DEMO / "tables" / "scorecard.csv").set_index("id").loc["2g"]
    assert (card.verdict, card.outcome) == ("not reproduced", "no")
    assert "image r squared" in row  # its third test, the one that fails
    assert f'asked <span class="whole">{card.asked}</span>: <span class="v-fails">fails</span>' in row
    settings = html.unescape(next(part for part in page.split("<tr") if 'id="claim-5d"' in part))
    assert "epochs 80 is asked, found" in settings


def test_the_picture_is_svg_unless_it_is_large(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"png")
    assert embed(tmp_path / "a.png").startswith("data:image/png;")
    (tmp_path / "a.svg").write_bytes(b"<svg/>")
    assert embed(tmp_path / "a.png").startswith("data:image/svg+xml;")
    (tmp_path / "a.svg").write_bytes(b" " * (LARGEST_SVG + 1))
    assert embed(tmp_path / "a.png").startswith("data:image/png;")


def headline_of(run: str, experiments: list[str] | None = None, **changed: pd.DataFrame) -> dict:
    """The headline of a published run, or of some of its experiments, with other tables in place of some."""
    source = DEMO.with_name(run)
    raw = yaml.safe_load((source / "config.yaml").read_text())
    raw["run"]["experiments"] = experiments or raw["run"]["experiments"]
    config = load_config(raw)
    tables = {
        name: read_csv(source / "tables" / f"{name}.csv") for name in ("fits", "pivots", "ranks", "scorecard")
    } | changed
    counts = {"networks": 5, "missed": 1, "diverged": 0, "dead": 0}
    line = line_rows(config, tables["fits"], tables["pivots"])
    return headline(config, line, tables["ranks"], count_verdicts(tables["scorecard"])[0], counts)


def test_the_headline_is_computed_from_the_tables() -> None:
    found = headline_of("demo")
    fits = read_csv(DEMO / "tables" / "fits.csv")
    card = read_csv(DEMO / "tables" / "scorecard.csv")
    claims = card[card.kind != "identity"].verdict
    first = fits.groupby("experiment", sort=False).first()  # of each experiment the first snapshot
    lines = fits[(fits.networks == "without_random_labels") & (fits.snapshot == fits.experiment.map(first.snapshot))]
    drawn = ("init_3layer", "init_resnet", "corruption_3layer", "init_3layer_gray")
    drawn += ("corruption_bn", "init_bn", "corruption_bn_100", "init_bn_100")
    lines = lines[lines.experiment.isin(drawn) & lines.norm.isin(["l2", "output"])].set_index("experiment")
    slopes = lines[(lines.norm == "l2") | (lines.index == "init_resnet")].slope
    assert len(found["sentences"]) == 3 and len(found["numbers"]) == 5
    assert f"slopes of {slopes.min():#.3g} to {slopes.max():#.3g}" in found["sentences"][0]
    assert found["numbers"][0]["value"] == f"{(claims == 'reproduced').sum()} of {(claims != 'not run at this scale').sum()}"
    assert f" of {len(claims)} claims of the paper" in found["sentences"][2]


def test_the_headline_is_true_when_nothing_is_reproduced_or_fitted() -> None:
    card = read_csv(DEMO / "tables" / "scorecard.csv")
    nothing = headline_of("demo", scorecard=card.assign(verdict=NOT_REPRODUCED))
    assert "reproduces 0 of" in nothing["sentences"][2] and nothing["numbers"][0]["value"].startswith("0 of ")
    one = headline_of("demo", ["init_bn"])
    assert one["sentences"][0].startswith(
        "In the one experiment (init_bn) whose line the figures draw, R² of test on training"
    )
    assert "with slope 0." in one["sentences"][0] and " of 1, and" in one["sentences"][1]
    for none in (headline_of("demo", ["train_size"]), headline_of("demo", ["width"])):
        assert none["sentences"][0].startswith("No figure of this run has a line")
        assert none["sentences"][1].startswith("There is no such line")
        assert [n["value"] for n in none["numbers"][1:4]] == ["not known", "not known", "–"]


def test_the_lines_link_to_where_they_come_from(page: str) -> None:
    figure = next(part for part in page.split("<section") if 'id="fig11"' in part)
    assert 'href="#settings-corruption_bn"' in figure and 'href="#settings-fig11"' in figure
    provenance = json.loads((DEMO / "provenance.json").read_text())
    assert f"Run “demo” of {provenance['time']}, commit {provenance['commit']}" in figure
    settings = html.unescape(next(part for part in page.split("<details") if 'id="settings-corruption_bn"' in part))
    raw = yaml.safe_load((DEMO / "config.yaml").read_text())
    assert yaml.safe_load(settings.split("<pre>")[1].split("</pre>")[0]) == raw["experiments"]["corruption_bn"]


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
