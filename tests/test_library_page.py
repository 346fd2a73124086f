"""docs/library.md and the examples do what they say."""

import doctest
import subprocess
import sys

import matplotlib.pyplot as plt
import pytest
import torch
from conftest import ROOT

import puzzles

sys.path.insert(0, str(ROOT / "examples"))
import lightning_callback
import picture
import plain_loop

PAGE = ROOT / "docs" / "library.md"


def test_the_examples_of_the_page() -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, optionflags=flags, parser=_InFences())
    assert tried > 20
    assert failed == 0


class _InFences(doctest.DocTestParser):
    """Markdown's closing fences are not part of the expected output."""

    def parse(self, string: str, name: str = "<string>") -> list:
        return super().parse(string.replace("```", ""), name)


def test_the_page_names_every_public_name_and_the_number_of_architectures() -> None:
    text = PAGE.read_text()
    assert [name for name in puzzles.__all__ if f"{name}" not in text] == []
    table = (ROOT / "docs" / "architectures.md").read_text()
    assert f"of {text.split('says of ')[1].split()[0]} networks" in table


@pytest.fixture(scope="module")
def rows() -> list[dict[str, float]]:
    return plain_loop.train(epochs=12)


def test_the_plain_loop_shows_what_the_page_says(rows: list[dict[str, float]]) -> None:
    best = min(rows, key=lambda row: row["normalized_train_loss"])
    assert best["epoch"] == min(rows, key=lambda row: row["normalized_test_loss"])["epoch"] == 2
    assert rows[-1]["train_loss"] < 0.1 * best["train_loss"]
    assert rows[-1]["test_error"] < 0.8 * best["test_error"]
    for row in rows:
        assert row["normalized_train_loss"] < row["normalized_test_loss"] < 2.302585
        assert row["rho"] > 1


def test_the_plain_loop_is_about_thirty_lines_and_runs_as_a_script() -> None:
    source = (ROOT / "examples" / "plain_loop.py").read_text()
    body = source.split("def train")[1].split("if __name__")[0].splitlines()
    assert len([line for line in body if line.strip()]) <= 40
    command, environment = (
        [sys.executable, "examples/plain_loop.py", "1"],
        {"PYTHONPATH": "workflow", "OMP_NUM_THREADS": "1"},
    )
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "normalized_test_loss" in done.stdout


def test_the_picture_shows_what_the_loop_logs(rows: list[dict[str, float]]) -> None:
    figure = picture.draw(rows)
    for axis, columns in zip(figure.axes, picture.PANELS.values(), strict=True):
        for line, column in zip(axis.lines, columns, strict=True):
            assert list(line.get_ydata()) == [row[column] for row in rows]
    plt.close(figure)
    assert picture.PICTURE.stat().st_size > 10_000


@pytest.mark.filterwarnings("ignore")
def test_the_lightning_callback_logs_the_loss_of_the_network_as_it_is(capsys: pytest.CaptureFixture) -> None:
    runner = lightning_callback.main(epochs=2, accelerator="cpu", devices=1)
    logged = runner.callback_metrics
    assert "normalized_val_loss" in capsys.readouterr().out
    model = runner.lightning_module.eval()
    for name, batches in (("train", runner.train_dataloader), ("val", runner.val_dataloaders)):
        x, y = (torch.stack([example[i] for example in batches.dataset]) for i in (0, 1))
        rho = puzzles.norm_product(model, x[:4], biases="ignore")
        with torch.no_grad():
            expected = puzzles.normalized_cross_entropy(model(x), y, rho)
        assert float(logged[f"normalized_{name}_loss"]) == pytest.approx(expected.item(), rel=1e-6)
        assert float(logged["rho"]) == pytest.approx(rho, rel=1e-6)
