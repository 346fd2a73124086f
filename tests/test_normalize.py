"""The public functions on networks of one's own: numbers against definitions, and a model that stays as it was."""

import copy
import doctest
import importlib
import math
import random

import numpy as np
import pytest
import torch
from conftest import small_spec
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

import puzzles
from puzzles.config.specs import Architecture
from puzzles.networks import norms as pipeline
from puzzles.networks.architectures import build, initialize
from puzzles.normalize import layers
from puzzles.normalize.layers import as_matrix

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class OutOfOrder(nn.Module):
    """Modules registered in another order than they are computed in."""

    def __init__(self) -> None:
        super().__init__()
        self.norm2 = nn.BatchNorm2d(5)
        self.last = nn.Linear(5 * 16, 10, bias=False)
        self.second = nn.Conv2d(4, 5, 3, bias=False)
        self.norm1 = nn.BatchNorm2d(4)
        self.first = nn.Conv2d(3, 4, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu_(self.norm1(self.first(x)))
        if x.mean() > 1e9:  # control flow that depends on the data: torch.fx cannot trace it
            x = -x
        return self.last(torch.relu(self.norm2(self.second(x))).flatten(1))


def randomized(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random batch norm, so that folding it changes something."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, layers.BATCH_NORMS):
            for tensor in (module.weight, module.bias, module.running_mean):
                tensor.data.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return model


def plain(*parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(*parts)


@pytest.mark.parametrize("module", ["folding", "losses", "metric", "product"])
def test_the_examples_in_docstrings(module: str) -> None:
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    failed, tried = doctest.testmod(importlib.import_module(f"puzzles.normalize.{module}"), optionflags=flags)
    assert tried > 3
    assert failed == 0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), norm=st.sampled_from(layers.NORMS), depth=st.integers(1, 4), bias=st.booleans())
def test_f_over_rho_is_the_network_whose_layers_have_norm_1(seed: int, norm: str, depth: int, bias: bool) -> None:
    torch.manual_seed(seed)
    parts: list[nn.Module] = [nn.Conv2d(3, 4, 3, bias=bias), nn.ReLU()]
    for _ in range(depth - 1):
        parts += [nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.LeakyReLU(0.1), nn.MaxPool2d(1)]
    model = plain(*parts, nn.Flatten(), nn.Linear(4 * 36, 10, bias=False)).double()
    x = IMAGES.double()
    expected = model(x) / puzzles.norm_product(model, x, norm=norm)
    divided = copy.deepcopy(model)
    for name, value in puzzles.layer_norms(model, x, norm=norm).items():
        for parameter in divided.get_submodule(name).parameters():
            parameter.data.div_(value)
    assert torch.allclose(divided(x), expected, rtol=1e-10, atol=0)


def test_layers_come_in_the_order_of_computation_with_the_batch_norm_that_follows_them() -> None:
    model = randomized(OutOfOrder()).eval()
    found = puzzles.layer_norms(model, IMAGES, biases="ignore")
    assert list(found) == ["first", "second", "last"]
    for name, norm in (("first", model.norm1), ("second", model.norm2)):
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        expected = (model.get_submodule(name).weight.double() * scale[:, None, None, None]).norm().item()
        assert found[name] == pytest.approx(expected, rel=1e-12)
    folded = puzzles.fold_batchnorm(model, IMAGES)
    assert torch.allclose(folded(IMAGES), model(IMAGES), atol=1e-5)
    assert not any(isinstance(m, layers.BATCH_NORMS) for m in folded.modules())
    assert any(isinstance(m, layers.BATCH_NORMS) for m in model.modules())


@pytest.mark.parametrize(
    ("layer", "norm", "shape"),
    [
        (nn.Linear(6, 5), nn.BatchNorm1d(5, affine=False), (6,)),
        (nn.Conv1d(3, 6, 3, groups=3, bias=False), nn.BatchNorm1d(6), (3, 9)),
        (nn.Conv3d(2, 4, 2), nn.BatchNorm3d(4), (2, 4, 4, 4)),
        (nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4), (3, 5, 5)),
        (nn.Conv2d(3, 4, 3), nn.SyncBatchNorm(4), (3, 5, 5)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_batch_norm_is_folded_into_each_kind_of_layer(layer: nn.Module, norm: nn.Module, shape: tuple[int, ...]) -> None:
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    x = torch.randn(3, *shape)
    model = plain(layer, nn.Dropout(), norm, nn.Flatten()).eval()
    assert torch.allclose(puzzles.fold_batchnorm(model, x)(x), model(x), atol=1e-5)
    assert puzzles.norm_product(model, x) > 0


def test_the_pipelines_networks_have_the_pipelines_rho() -> None:
    for architecture in (
        Architecture("conv", (6, 5), 3, bias="first"),
        Architecture("five_layer", (3, 4, 5, 6), batch_norm=True),
    ):
        network = build(architecture, (3, 8, 8), 10)
        initialize(network, small_spec())
        biases = "ignore" if architecture.batch_norm else "first"
        for norm in layers.NORMS:
            ours = puzzles.layer_norms(randomized(network), IMAGES, norm=norm, biases=biases)
            assert list(ours.values()) == pytest.approx(pipeline.layer_norms(network, norm), rel=1e-6)


def test_a_matrix_has_a_row_for_each_output() -> None:
    layer = nn.ConvTranspose1d(4, 6, 3, groups=2)
    x, c = torch.zeros(1, 4, 5), torch.randn(4)
    x[0, :, 2] = c
    output = layer(x) - layer.bias[:, None]  # [1, 6, 7]; from position 2 to positions 2, 3, 4
    matrix = as_matrix(layer, layer.weight).view(2, 3, 2, 3)  # group, output, input, tap
    expected = torch.einsum("goik,gi->gok", matrix, c.double().view(2, 2)).reshape(6, 3)
    assert torch.allclose(output[0, :, 2:5].double(), expected, atol=1e-6)
    assert as_matrix(layer, layer.weight, layer.bias).shape == (6, 7)


def test_kinds_of_layers_that_are_counted() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(7, 4)
            self.pair = nn.Bilinear(4, 4, 5, bias=False)
            self.last = nn.Linear(5, 2, bias=False)

        def forward(self, a: torch.Tensor, *, b: torch.Tensor) -> torch.Tensor:
            return self.last(torch.relu(self.pair(self.embedding(a), b)))

    example = {"a": torch.tensor([1, 2, 3]), "b": torch.randn(3, 4)}
    assert list(puzzles.layer_norms(Words(), example)) == ["embedding", "pair", "last"]
    pixels = plain(nn.ConvTranspose2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 2, bias=False))
    assert list(puzzles.layer_norms(pixels, (IMAGES,))) == ["0", "3"]


def test_parametrized_weights_count_as_they_are_used() -> None:
    model = plain(
        parametrizations.weight_norm(nn.Linear(4, 5)), nn.ReLU(), parametrizations.spectral_norm(nn.Linear(5, 3, bias=False))
    )
    model.train()
    before = copy.deepcopy(model.state_dict())
    normalizer = puzzles.Normalizer(model, torch.randn(6, 4))
    assert normalizer(model) > 0
    after = model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)  # in training mode spectral_norm changes when it is read
    model.eval()
    assert model[0].parametrizations.weight is not None  # the copy shares its class: it must keep it
    weights = [model[0].weight, model[0].bias[:, None]]
    assert normalizer.layer_norms(model)["0"] == pytest.approx(torch.cat(weights, 1).norm().item(), rel=1e-6)
    assert normalizer.layer_norms(model)["2"] == pytest.approx(model[2].weight.norm().item(), rel=1e-6)


def test_weights_that_two_layers_share_side_by_side_are_one_factor() -> None:
    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(4, 5, bias=False), nn.Linear(4, 5, bias=False)
            self.last = nn.Linear(5, 3, bias=False)
            self.right.weight = self.left.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last((self.left(x) + self.right(input=x.flip(1))).relu())

    model, x = Siamese(), torch.randn(6, 4)
    assert list(puzzles.layer_norms(model, x)) == ["left", "last"]
    expected = model(x) / puzzles.norm_product(model, x)
    with torch.no_grad():
        for layer in (model.left, model.last):
            layer.weight.div_(layer.weight.norm())
    assert torch.allclose(model(x), expected, rtol=1e-4)


def test_a_batch_norm_that_is_called_by_keyword() -> None:
    class Keyword(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self[1](input=self[0](input=x))

    model = randomized(Keyword(nn.Linear(4, 5), nn.BatchNorm1d(5)))
    x = torch.randn(6, 4)
    assert torch.allclose(puzzles.fold_batchnorm(model, x)(x), model.eval()(x), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_precision(dtype: torch.dtype) -> None:
    model = plain(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3, bias=False)).to(dtype)
    expected = torch.cat([model[0].weight, model[0].bias[:, None]], 1).double().norm() * model[2].weight.double().norm()
    assert puzzles.norm_product(model, torch.randn(6, 4)) == pytest.approx(float(expected), rel=1e-12)
    assert puzzles.fold_batchnorm(model, torch.randn(6, 4))[0].weight.dtype == dtype


def state(model: nn.Module) -> dict:
    """All that could have been changed."""
    found = {f"grad of {name}": None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    found |= {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found |= {f"mode of {name}": module.training for name, module in model.named_modules()}
    found |= {f"hooks of {name}": dict(module._forward_hooks) for name, module in model.named_modules()}
    found |= {f"version of {name}": tensor._version for name, tensor in model.named_parameters()}
    return found | {"random": (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())}


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, (tuple, list)):
        return all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.mark.parametrize("broken", [None, nn.GELU(), nn.LSTM(10, 10), nn.Bilinear(2, 2, 2)], ids=lambda m: type(m).__name__)
def test_nothing_of_the_model_changes_even_after_an_error(broken: nn.Module | None) -> None:
    model = randomized(
        plain(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(), nn.Flatten(), nn.Linear(144, 10))
    )
    if broken is not None:
        model.append(broken)
    model[0].eval()
    model[0].weight.requires_grad_(False)
    ran: list[nn.Module] = []
    model[2].register_forward_hook(lambda module, args, output: ran.append(module))
    model[5].weight.grad = torch.ones_like(model[5].weight)
    images = IMAGES.clone()
    before = state(model)
    for function in (puzzles.norm_product, puzzles.layer_norms, puzzles.NormalizedLoss):
        if broken is None:
            function(model, images, biases="ignore")
        else:
            with pytest.raises(puzzles.NormalizationError):
                function(model, images, biases="ignore")
    if not isinstance(broken, (nn.LSTM, nn.Bilinear)):
        puzzles.fold_batchnorm(model, images)
        puzzles.output_norm(model, images)
    after = state(model)
    assert [key for key in before if not same(before[key], after[key])] == []
    assert ran == []
    assert torch.equal(images, IMAGES)


def test_it_works_inside_whatever_the_caller_has_switched_on() -> None:
    model = plain(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3, bias=False))
    x = torch.randn(6, 4)
    expected = puzzles.norm_product(model, x)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
        assert puzzles.norm_product(model, x + 0) == expected
    wrapped = nn.DataParallel(model)
    assert puzzles.norm_product(wrapped, x) == expected


def test_output_norm_is_that_of_the_logits() -> None:
    model = plain(nn.Flatten(), nn.Linear(192, 10), nn.Dropout())
    expected = model.eval()(IMAGES).detach().double().norm(dim=1)
    model.train()
    assert puzzles.output_norm(model, IMAGES) == pytest.approx(float(expected.mean()), rel=1e-6)
    assert puzzles.norm_product(model, IMAGES, norm="output") == pytest.approx(float(expected[0]), rel=1e-6)


def test_a_diverged_network_has_no_number() -> None:
    model = plain(nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False))
    normalizer = puzzles.Normalizer(model, torch.randn(6, 4))
    model.double()[0].weight.data.fill_(1e200)
    model[2].weight.data.fill_(1e200)
    assert math.isnan(normalizer(model))  # divided by infinity it would seem to have learnt nothing
    model[0].weight.data[0, 0] = math.nan
    assert math.isnan(normalizer(model))
    with pytest.raises(puzzles.NormalizationError, match=r"'0\.weight'"):
        puzzles.norm_product(model, torch.randn(6, 4))
