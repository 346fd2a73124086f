"""docs/architectures.md says what the library says."""

import re

import pytest
from bench import architectures_page as page
from bench.own_networks import OWN

NUMBER = re.compile(r"(?<![\w'.])\d+\.?\d*(?:e[+-]\d+)?(?![\w'])")


def lines() -> dict[str, str]:
    """The rows of the page's tables, by network."""
    rows = [line for line in page.PAGE.read_text().splitlines() if line.startswith("| ")]
    return {row.split(" | ")[0].removeprefix("| ").strip("`"): row for row in rows if not row.startswith("| network")}


def test_the_page_has_every_network_and_its_text_is_the_templates() -> None:
    found = lines()
    assert list(found) == list(page.networks())
    assert len(found) >= 25
    text = page.PAGE.read_text()
    measured = sum("`biases=" in row for row in found.values())
    assert f"{measured} of {len(found)} networks" in text
    rendered = page.render([page.row("tanh")])
    prose = [line for line in rendered.splitlines() if line and not line.startswith(("|", "*"))]
    assert [line for line in prose if line not in text] == []


@pytest.mark.parametrize("name", [*sorted(page.QUICK), *OWN])
def test_a_row_is_what_the_library_says_today(name: str) -> None:
    ours, published = page.line(page.row(name)), lines()[name]
    assert NUMBER.sub("#", ours) == NUMBER.sub("#", published)
    numbers = [[float(n) for n in NUMBER.findall(row)] for row in (ours, published)]
    assert numbers[0] == pytest.approx(numbers[1], rel=2e-3)
