"""docs/results.md is what its command makes of the published tables."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from puzzles.analysis.claims import NOT_REPRODUCED, REPRODUCED, UNDECIDED, load_claims
from puzzles.analysis.intervals import kendall
from puzzles.base import paths
from puzzles.base.csvs import read_csv, write_csv
from puzzles.output.results_page import PAGE, published, render


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_page_is_made_from_the_published_tables() -> None:
    assert PAGE.read_text() == render(published()), "docs/results.md is older than the tables: make results"


def test_every_claim_that_is_no_identity_is_there_once_with_every_verdict() -> None:
    page = PAGE.read_text()
    for claim in load_claims():
        rows = [line for line in page.splitlines() if line.startswith(f"| **{claim['id']}** ")]
        assert len(rows) == (claim["kind"] != "identity"), claim["id"]
        for run in published() if rows else ():
            if run.is_trial:
                assert f"run `{run.name}`" not in page.split("## Figure by figure")[1].split("## Trials")[0]
                continue
            verdict = run.verdicts[claim["id"]]["verdict"]
            assert f"**{verdict}**" in rows[0] or "not at this scale" in rows[0] or "not run" in rows[0]


def test_every_claim_that_is_not_reproduced_has_a_cause() -> None:
    page = PAGE.read_text()
    for _, ids in re.findall(r"- \*\*(not reproduced)\*\*: (.*)\.", page):
        for identifier in re.findall(r"[\w-]+(?=[,;.]| \()", ids):
            assert re.search(rf"^- \*\*.*\b{re.escape(identifier)}\b.*\*\*: (scale|setting|paper|too few)", page, re.M), (
                identifier
            )
    known = {claim["id"] for claim in load_claims()}
    causes = yaml.safe_load(paths.RESULTS_TEXTS.read_text())["causes"]
    named = [identifier for cause in causes for identifier in cause["claims"]]
    assert len(named) == len(set(named)) and set(named) <= known


def test_networks_that_a_gpu_has_trained_are_counted() -> None:
    """Also where it went on with what a CPU had begun; the page then says so beside the machine that did the rest."""
    runs = published()
    counts = ((["loop on cpu"], 3), (["grouped on NVIDIA X"], 5), (["loop on cpu", "grouped on NVIDIA X"], 1), ([], 2))
    parts = [{"engines": engines, "networks": networks} for engines, networks in counts]
    runs[0].provenance["trained_by"] = {"init_3layer": parts}
    assert runs[0].gpus == {"NVIDIA X": 6}
    assert "; 6 networks trained on NVIDIA X |" in render(runs)


def test_links_and_pictures_lead_to_files() -> None:
    links = re.findall(r"\]\((\.\./[^)]+)\)", PAGE.read_text())
    assert len(links) > 20
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


def test_another_table_gives_another_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number and a verdict that only one run has: the page follows the tables, whatever they say."""
    reference = tmp_path / "results" / "reference"
    shutil.copytree(paths.REFERENCE / "demo", reference / "demo")
    card = read_csv(reference / "demo" / "tables" / "scorecard.csv")
    row = card.id == "2b"
    card.loc[row, ["verdict", "ours"]] = [NOT_REPRODUCED, 0.123456]
    write_csv(card, reference / "demo" / "tables" / "scorecard.csv")
    monkeypatch.chdir(tmp_path)
    page = render(published())
    assert "**not reproduced** 0.123" in page
    assert re.search(r"^- \*\*2b\*\*: scale, or paper\.", page, re.M)
    assert "run `small`" not in page


def test_the_first_figure_of_the_readme_says_what_its_tables_say() -> None:
    caption = (ROOT / "README.md").read_text().split("\n## ")[0]
    assert "results/reference/paper/figures/fig11.png" in caption
    fits = read_csv(paths.REFERENCE / "paper" / "tables" / "fits.csv")
    fits = fits[(fits.experiment == "corruption_bn") & (fits.norm == "l2") & (fits.snapshot != "last")].set_index("networks")
    line, r2 = fits.loc["without_random_labels"], fits.r2
    caption = " ".join(caption.split())
    assert f"slope {line.slope:.3f} and R² {line.r2:.4f}".replace(" 0.", " .") in caption
    assert f"R² is still {r2.permuted_rho:.4f}, and {r2.untrained:.4f}".replace(" 0.", " .") in caption
    table = read_csv(paths.REFERENCE / "paper" / "measurements" / "corruption_bn.csv")
    table = table[(table.norm == "l2") & (table.snapshot == table.snapshot.iloc[0])]
    pairs = len(table) * (len(table) - 1) // 2
    wrong, by_rho = (
        round(pairs * (1 - kendall(table[column].to_numpy(), table.test_error.to_numpy())) / 2)
        for column in ("norm_train_loss", "rho")
    )
    assert f"but for {wrong} pairs of {pairs}; ρ alone (b) errs in {by_rho}" in caption
    assert (~table.met_criterion).sum() == 3 and "Three missed the criterion" in caption
    verdicts = read_csv(paths.REFERENCE / "paper" / "tables" / "scorecard.csv").set_index("id").verdict
    assert list(verdicts[["11a", "11b", "2i-corruption_bn"]]) == [REPRODUCED, REPRODUCED, UNDECIDED]
    assert "calls the line and the growth of ρ reproduced, the ranking undecided" in caption
    fits = read_csv(paths.REFERENCE / "paper" / "tables" / "fits.csv").set_index(
        ["experiment", "snapshot", "norm", "networks"]
    )
    line = fits.loc["init_3layer", "last", "l2", "without_random_labels"]
    assert line.n == 8
    slope = f"{line.slope:.3f}".removeprefix("0")
    assert f"eight networks, from initial weights of different size, are on a line of slope {slope}, not 1" in caption
