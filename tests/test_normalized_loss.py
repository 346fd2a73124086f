"""NormalizedLoss: torchmetrics' interface, with and without torchmetrics; sums right whatever the batches; one rho."""

import copy
import importlib.util
import math
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import DEVICES, ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_process import CLASSES, EXAMPLES, data, metric, network
from torch import nn

import puzzles
from puzzles.analysis.columns import derived
from puzzles.base.csvs import read_csv
from puzzles.normalize import layers


def expected(model: nn.Module, logits: torch.Tensor, target: torch.Tensor) -> float:
    """By hand: the log of a sum of exponentials, in float64."""
    f = logits.detach().double().cpu() / puzzles.norm_product(model, data()[0][:3], biases="ignore")
    return float((f.exp().sum(1).log() - f[torch.arange(len(f)), target.cpu()]).mean())


HAS_TORCHMETRICS = importlib.util.find_spec("torchmetrics") is not None and sys.modules.get("torchmetrics", "") is not None


def test_it_is_a_metric_of_torchmetrics_where_that_is_installed() -> None:
    bases = [base.__module__.split(".")[0] for base in puzzles.NormalizedLoss.__mro__]
    assert ("torchmetrics" in bases) == HAS_TORCHMETRICS
    assert issubclass(puzzles.NormalizedLoss, nn.Module)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(lambda sizes: 0 < sum(sizes) <= EXAMPLES))
def test_batches_of_any_size_add_up(sizes: list[int]) -> None:
    model, (x, y) = MODEL, data()
    loss, logits = LOSS, MODEL(x[: sum(sizes)])
    loss.reset()
    for f, target in zip(logits.split(sizes), y[: sum(sizes)].split(sizes), strict=True):
        loss.update(f, target)
    value = loss.compute()
    assert value.dtype == torch.float64
    assert float(value) == pytest.approx(expected(model, logits, y[: sum(sizes)]), abs=1e-14)
    assert loss.examples == sum(sizes)


MODEL = network()
LOSS = metric(MODEL)


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_logits_of_any_precision_and_device(dtype: torch.dtype, where: str) -> None:
    """All that half precision costs is in the logits themselves."""
    model, (x, y) = network().to(where), data()
    logits = model(x.to(where)).to(dtype)
    loss = metric(model).to(where)
    loss.update(logits, y.to(where, torch.int16))
    assert float(loss.compute()) == pytest.approx(expected(model, logits, y), abs=1e-13)
    assert loss.loss_sum.dtype == torch.float64


def test_forward_returns_the_loss_of_the_batch_and_adds_it() -> None:
    (x, y), model = data(), network()
    loss = metric(model)
    logits = model(x)
    for part in (slice(0, 7), slice(7, 60)):
        assert float(loss(logits[part], y[part])) == pytest.approx(expected(model, logits[part], y[part]), abs=1e-14)
    assert float(loss.compute()) == pytest.approx(expected(model, logits, y), abs=1e-14)
    assert not loss.compute().requires_grad


def test_one_rho_for_all_batches() -> None:
    (x, y), model = data(), network()
    loss = metric(model)
    loss.update(model(x), y)
    with torch.no_grad():
        model[0].weight.data.mul_(1.01)  # of which torch keeps no count
    for add in (loss.update, loss):
        with pytest.raises(puzzles.NormalizationError, match=r"found rho .* expected one for all batches"):
            add(model(x), y)
    assert loss.examples == EXAMPLES
    loss.reset()
    loss.update(model(x), y)
    assert float(loss.compute()) == pytest.approx(expected(model, model(x), y), abs=1e-14)
    model.train()
    with pytest.raises(puzzles.NormalizationError, match="training mode"):
        loss.update(model(x), y)
    model(x)  # changes the running statistics, and so the folded weights
    with pytest.raises(puzzles.NormalizationError, match="expected one for all batches"):
        loss.update(model.eval()(x), y)


def test_output_norm_is_for_every_network() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.last = nn.Linear(4, 4), nn.Linear(4, CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(x + torch.tanh(self.inner(x)))

    (x, y), model = data(), Residual().eval()
    with pytest.raises(puzzles.NormalizationError, match="norm='output'"):
        puzzles.NormalizedLoss(model, x[:3], biases="ignore")
    loss = puzzles.NormalizedLoss(model, x[:3], norm="output")
    loss.update(model(x), y)
    by_hand = puzzles.normalized_cross_entropy(model(x), y, model(x[:1]).detach().double().norm())
    assert float(loss.compute()) == pytest.approx(by_hand.item(), rel=1e-7)


def test_diverged_networks_give_nan_and_no_examples_an_error() -> None:
    (x, y), model = data(), network()
    loss = metric(model)
    loss.update(model(x)[:0], y[:0])
    with pytest.raises(puzzles.NormalizationError, match=r"no example since reset\(\)"):
        loss.compute()
    model[0].weight.data.fill_(torch.nan)
    loss.reset()
    for _ in range(2):
        loss.update(model(x), y)
    assert math.isnan(loss.compute())


def test_a_pickled_metric_goes_on_with_a_model_of_its_own() -> None:
    (x, y), model = data(), network()
    loss = metric(model)
    loss.update(model(x[:20]), y[:20])
    again = pickle.loads(pickle.dumps(loss))
    with torch.no_grad():
        model[0].weight.mul_(2)
    again.update(network()(x[20:]), y[20:])
    assert float(again.compute()) == pytest.approx(expected(network(), network()(x), y), abs=1e-14)


def test_copies_measure_the_same_model_unless_it_is_copied_too() -> None:
    class Holder(nn.Module):
        def __init__(self, first: bool) -> None:
            super().__init__()
            model = network()
            for name, module in sorted({"a": model, "b": metric(model)}.items(), reverse=first):
                setattr(self, {"a": "model", "b": "loss"}[name], module)

    (x, y), model = data(), network()
    clone = copy.deepcopy(metric(model)).clone()
    holders = [copy.deepcopy(Holder(first)) for first in (True, False)]
    for loss, its in ((clone, model), *((h.loss, h.model) for h in holders)):
        with torch.no_grad():
            its[0].weight.mul_(2)
        loss.update(its(x), y)
        assert float(loss.compute()) == pytest.approx(expected(its, its(x), y), abs=1e-14)
    assert [name for name, _ in metric(model).named_parameters()] == []
    assert metric(model).state_dict() == {}


def test_moving_keeps_the_sums_and_their_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    (x, y), model = data(), network()
    loss = metric(model)
    loss.update(model(x), y)
    before = loss.compute()
    moved = loss.to(torch.float16).half()
    assert moved is loss
    assert loss.loss_sum.dtype == torch.float64
    assert loss.compute() == before
    assert loss.to("meta").loss_sum.device.type == "meta"
    loss = metric(model)
    monkeypatch.setattr(layers, "WITHOUT_FLOAT64", {"meta"})
    monkeypatch.setattr("puzzles.normalize.metric.WITHOUT_FLOAT64", {"meta"})
    assert loss.to("meta").loss_sum.device.type == "cpu"  # as on Apple's MPS
    loss.reset()
    loss.update(model(x), y)
    assert loss.compute() == before


@pytest.mark.parametrize(
    ("logits", "target", "words"),
    [
        ([[1.0, 2.0]], torch.tensor([0]), "logits: found list, expected a tensor"),
        (torch.zeros(3), torch.tensor([0]), r"logits: found shape \[3\]"),
        (torch.zeros(3, 1), torch.zeros(3).long(), r"logits: found shape \[3, 1\]"),
        (torch.zeros(3, 2).long(), torch.zeros(3).long(), "logits: found .*int64"),
        (torch.zeros(3, 2), torch.zeros(2).long(), r"target: found shape \[2\]"),
        (torch.zeros(3, 2), torch.zeros(3), "target: found .*float32"),
        (torch.zeros(3, 2), torch.zeros(3, 2), r"target: found shape \[3, 2\]"),
        (torch.zeros(3, 2), torch.tensor([0, 1, 2]), "target: found class 2, expected 0 to 1"),
        (torch.zeros(3, 2), torch.tensor([0, 1, -100]), "target: found class -100"),
    ],
)
def test_batches_that_are_refused(logits: object, target: object, words: str) -> None:
    for function in (metric(network()).update, lambda f, y: puzzles.normalized_cross_entropy(f, y, 1.0)):
        with pytest.raises(puzzles.NormalizationError, match="^" + words):
            function(logits, target)


@pytest.mark.parametrize("rho", [0, -1.0, math.inf, math.nan, torch.tensor(0.0)])
def test_rho_that_is_refused(rho: float) -> None:
    with pytest.raises(puzzles.NormalizationError, match=r"^rho: found"):
        puzzles.normalized_cross_entropy(torch.zeros(3, 2), torch.zeros(3).long(), rho)


def test_normalized_cross_entropy_can_be_minimized_and_is_exact_for_tiny_outputs() -> None:
    logits = torch.randn(8, 10, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target = torch.arange(8)
    value = puzzles.normalized_cross_entropy(logits, target, 1e6)
    f = logits.detach().double() / 1e6
    linear = float((f[torch.arange(8), target] - f.mean(1)).mean())
    assert math.log(10) - value.item() == pytest.approx(linear, rel=1e-5)
    value.backward()
    assert logits.grad is not None
    assert logits.grad.any()


def test_margin_ratio_is_the_column_of_the_tables() -> None:
    table = derived(read_csv(ROOT / "results/reference/demo/measurements/init_3layer.csv"))
    assert len(table) > 10
    for row in table.itertuples():
        ours = puzzles.margin_ratio(row.norm_train_loss, row.norm_test_loss, row.num_classes)
        assert ours == pytest.approx(row.margin_ratio, rel=1e-12)
    assert math.isnan(puzzles.margin_ratio(math.log(10), 1.0, 10))
    with pytest.raises(puzzles.NormalizationError, match="num_classes: found 1"):
        puzzles.margin_ratio(1.0, 1.0, 1)


def test_sums_over_processes(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    forbidden = [] if HAS_TORCHMETRICS else ["torchmetrics"]
    script, library = ROOT / "tests" / "metric_process.py", {"PYTHONPATH": str(ROOT / "workflow")}
    commands = [[sys.executable, script, str(rank), port, tmp_path / str(rank), *forbidden] for rank in range(2)]
    processes = [subprocess.Popen(command, env=os.environ | library) for command in commands]
    assert [process.wait(300) for process in processes] == [0, 0]
    (x, y), model = data(), network()
    whole = pytest.approx(expected(model, model(x), y), abs=1e-14)
    for rank, (own, own_of_all) in enumerate([(5, 60), (55, 0)]):
        *numbers, error = torch.load(tmp_path / str(rank))
        assert numbers == [whole, whole, own, whole, whole, own_of_all]
        assert "differ between processes" in error


@pytest.mark.skipif(not HAS_TORCHMETRICS, reason="torchmetrics is not installed: the tests above are about our own class")
def test_in_a_collection_of_torchmetrics() -> None:
    import torchmetrics

    (x, y), model = data(), network()
    both = torchmetrics.MetricCollection(
        {"error": torchmetrics.Accuracy("multiclass", num_classes=CLASSES), "loss": metric(model), "l1": metric(model)}
    )
    prefixed = both.clone(prefix="test_")
    with torch.no_grad():
        model[4].weight.mul_(0.5)
    for part in (slice(0, 30), slice(30, 60)):
        prefixed.update(model(x[part]), y[part])
    assert float(prefixed.compute()["test_loss"]) == pytest.approx(expected(model, model(x), y), abs=1e-14)
    with pytest.raises(puzzles.NormalizationError, match="dist_sync_on_step"):
        metric(model, dist_sync_on_step=True)


@pytest.mark.skipif(not HAS_TORCHMETRICS, reason="torchmetrics is not installed: this runs already without it")
def test_all_of_this_holds_without_torchmetrics() -> None:
    code = f"import sys; sys.modules['torchmetrics'] = None; import pytest; sys.exit(pytest.main(['-n0', {__file__!r}]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 skipped" in done.stdout
