"""Losses, errors, margins, active units. The forward pass is float32; everything from the logits on is float64."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from puzzles.data.preparation import Examples
from puzzles.networks.architectures import absorb_batch_norm, has_plain_layers, weight_layers
from puzzles.networks.arithmetic import arithmetic
from puzzles.networks.complexity import fisher_rao_norm, path_norm, sum_of_squares
from puzzles.networks.norms import divide_layers, is_bias_light, layer_norms, rho

EXAMPLES_AT_ONCE = 1000  # examples in one forward pass
QUANTILES = {"min": 0.0, "p01": 0.01, "p05": 0.05, "p10": 0.1, "p25": 0.25, "median": 0.5, "p75": 0.75, "p90": 0.9}


@dataclass(frozen=True)
class Outputs:
    """The logits of one network, float64: of its training images [N, C] and of its test images [M, C]."""

    train: torch.Tensor
    test: torch.Tensor

    def __truediv__(self, scale: float) -> "Outputs":
        return Outputs(self.train / scale, self.test / scale)


def logits(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Outputs [N, C] in float64 of images [N, H, W, channels], in eval mode and in float32."""
    network.eval()
    with torch.no_grad(), arithmetic("fp32"):
        return torch.cat([network(chunk.permute(0, 3, 1, 2)).double() for chunk in images.split(EXAMPLES_AT_ONCE)])


def network_outputs(network: nn.Module, examples: Examples) -> Outputs:
    """The logits of a network's training and test images."""
    return Outputs(logits(network, examples.train_x), logits(network, examples.test_x))


def cross_entropy(outputs: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean over examples of the natural-log cross-entropy of softmax(+f) (Eqs. 9, 10, corrected)."""
    return float(nn.functional.cross_entropy(outputs, labels))


def classification_error(outputs: torch.Tensor, labels: torch.Tensor) -> float:
    """The fraction of examples whose largest output is not their label's; nan where an output is no finite number."""
    return float(misclassified(outputs, labels))


def misclassified(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """``classification_error`` as a float64 tensor without axes on its device, so that nothing waits for it."""
    wrong = (outputs.argmax(dim=1) != labels).double().mean()
    return torch.where(outputs.isfinite().all(), wrong, torch.nan)  # else argmax says class 0, as if it were an answer


def is_finite(outputs: torch.Tensor) -> bool:
    """Whether every output is a finite number."""
    return bool(outputs.isfinite().all())


def is_dead(network: nn.Module, examples: Examples) -> bool:
    """Whether a network has come to its end: it answers 0 to every training image, and no gradient reaches its weights.

    Where the last layer has a bias, outputs that are constant can still learn: such a network is never dead. Nor is one with
    shortcuts, or one of the user's, of which that is not known.
    """
    if not has_plain_layers(network):
        return False
    _, last = weight_layers(network)[-1]
    if last.bias is not None or logits(network, examples.train_x).any():
        return False
    parts = zip(examples.train_x.split(EXAMPLES_AT_ONCE), examples.train_y.split(EXAMPLES_AT_ONCE), strict=True)
    return not any(bool(g.any()) for x, y in parts for g in _gradients(network, x, y))


def _gradients(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Of the summed cross-entropy, for every parameter."""
    with torch.enable_grad():
        loss = nn.functional.cross_entropy(network(x.permute(0, 3, 1, 2)), y, reduction="sum")
        return torch.autograd.grad(loss, list(network.parameters()))


def margins(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """f_y - max_{j != y} f_j for each example, [N]."""
    own = outputs.gather(1, labels[:, None])
    others = outputs.scatter(1, labels[:, None], -torch.inf)
    return own[:, 0] - others.max(dim=1).values


def output_norms(network: nn.Module, images: torch.Tensor) -> list[float]:
    """||f(x)||_2 of the logits for each image of [N, H, W, C]."""
    return torch.linalg.vector_norm(logits(network, images), dim=1).tolist()


def normalizer(network: nn.Module, norm: str, x0: torch.Tensor) -> float:
    """The number that outputs are divided by: ||f(x0)||_2 for ``output`` (App. H), else the product of the layers' norms.

    ``x0`` is one image [H, W, channels].
    """
    return output_norms(network, x0[None])[0] if norm == "output" else rho(network, norm)


def measurements(
    network: nn.Module, examples: Examples, norms: tuple[str, ...], x0: torch.Tensor
) -> tuple[list[dict[str, float | str]], Outputs]:
    """One row for each norm, with everything the tables hold of a network; and its outputs.

    ``norm_*``: of the normalized network f / rho. ``changed_predictions``: examples, training and test, that f / rho
    classifies otherwise. ``changed_layerwise``: the share of the first 1,000 training examples that are classified otherwise
    by the network whose every layer, weights and bias, is divided by the norm of its weights; ``layers_difference``: how far
    its outputs are from f / rho, relative to the largest (Eq. 1; empty where deeper layers have biases).
    ``layer_norm_<k>``: the factors of rho. ``max_output_*``: of the largest output of each training example (Fig. 20).
    ``margin_*``: quantiles and the mean, which is the area under the sorted margins. ``linear_part_*``: the mean of
    f~_y - mean_j f~_j; for small outputs the normalized loss is ln C minus it. ``path_norm``, ``fisher_rao``,
    ``sum_of_squares``: see ``complexity``, of the network as it is.
    ``dead``: see ``is_dead``. ``diverged``: an output is not finite; errors and changed predictions are then empty.

    Returns:
        The rows, and the outputs of the network as it is.

    Raises:
        RuntimeError: without its batch norm the network computes something else.
    """
    network = _absorbed(network, examples) if has_plain_layers(network) else network
    with watched_units(network) as active_units:
        train = logits(network, examples.train_x)
    outputs = Outputs(train, logits(network, examples.test_x))
    largest = train.max(dim=1).values
    common = losses_and_errors(outputs, examples) | _mean_and_std("max_output", largest)
    common |= active_units() | _complexity(network, outputs, examples)
    diverged = not (is_finite(outputs.train) and is_finite(outputs.test))
    common |= {"dead": not train.any() and is_dead(network, examples), "diverged": diverged}
    rows = []
    for norm in norms:
        scale = normalizer(network, norm, x0)
        normalized = outputs / scale
        row: dict[str, float | str] = {"norm": norm, "rho": scale, **common}
        row |= _losses(normalized, examples, "norm_") | _errors(normalized, examples, "norm_")
        row |= _mean_and_std("norm_max_output", largest / scale)
        row["changed_predictions"] = float("nan") if diverged else _changed(outputs, normalized)
        row |= _layer_by_layer(network, norm, outputs, normalized, examples)
        if norm != "output":
            row |= {f"layer_norm_{k}": value for k, value in enumerate(layer_norms(network, norm), start=1)}
        for split, f, y in (("train", normalized.train, examples.train_y), ("test", normalized.test, examples.test_y)):
            row |= _margin_summary(split, f, y)
            row[f"linear_part_{split}"] = float((f.gather(1, y[:, None])[:, 0] - f.mean(dim=1)).mean())
        rows.append(row)
    return rows, outputs


def losses_and_errors(outputs: Outputs, examples: Examples) -> dict[str, float]:
    """``train_loss``, ``test_loss``, ``train_error`` and ``test_error`` of outputs."""
    return _losses(outputs, examples) | _errors(outputs, examples)


def rescaled_losses(outputs: Outputs, examples: Examples, scales: list[float]) -> list[dict[str, float]]:
    """Train and test loss of one and the same f divided by each of ``scales``."""
    return [{"rho": scale, **_losses(outputs / scale, examples, "norm_")} for scale in scales]


@contextmanager
def watched_units(network: nn.Module) -> Iterator[Callable[[], dict[str, float]]]:
    """Watch the ReLU units (channel and position) while the block computes outputs.

    The value is a function: the share of units that fired for at least one image, ``active_units_<k>`` for each layer and
    ``active_units`` for the layer where it is smallest.
    """
    fired: dict[tuple, torch.Tensor] = {}  # by module, and by shape where one module is used in several places

    def note(layer: nn.Module, _: tuple, output: torch.Tensor) -> None:
        now = (output > 0).any(dim=0)
        key = (layer, now.shape)
        fired[key] = fired[key] | now if key in fired else now

    hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.ReLU)]

    def shares() -> dict[str, float]:
        layers = [float(units.double().mean()) for units in fired.values()]
        return {"active_units": min(layers, default=float("nan"))} | {
            f"active_units_{k}": share for k, share in enumerate(layers, start=1)
        }

    try:
        yield shares
    finally:
        for hook in hooks:
            hook.remove()


def _losses(outputs: Outputs, examples: Examples, prefix: str = "") -> dict[str, float]:
    return {
        f"{prefix}train_loss": cross_entropy(outputs.train, examples.train_y),
        f"{prefix}test_loss": cross_entropy(outputs.test, examples.test_y),
    }


def _errors(outputs: Outputs, examples: Examples, prefix: str = "") -> dict[str, float]:
    return {
        f"{prefix}train_error": classification_error(outputs.train, examples.train_y),
        f"{prefix}test_error": classification_error(outputs.test, examples.test_y),
    }


def _changed(a: Outputs, b: Outputs) -> int:
    """How many training and test examples two networks classify differently."""
    return sum(int((f.argmax(1) != g.argmax(1)).sum()) for f, g in ((a.train, b.train), (a.test, b.test)))


def _complexity(network: nn.Module, outputs: Outputs, examples: Examples) -> dict[str, float]:
    """Measures of the network as it is; those that a residual network has no value of are empty there."""
    found = {"fisher_rao": fisher_rao_norm(network, outputs.train, examples.train_y)}
    plain = has_plain_layers(network)
    found["path_norm"] = path_norm(network, examples.input_shape) if plain else float("nan")
    return found | {"sum_of_squares": sum_of_squares(network) if plain else float("nan")}


def _mean_and_std(name: str, values: torch.Tensor) -> dict[str, float]:
    return {f"{name}_mean": float(values.mean()), f"{name}_std": float(values.std(correction=0))}


def _layer_by_layer(
    network: nn.Module, norm: str, outputs: Outputs, normalized: Outputs, examples: Examples
) -> dict[str, float]:
    """The network whose layers are divided one by one, beside f / rho; empty for the output norm."""
    empty = float("nan")
    if norm == "output" or not has_plain_layers(network) or not is_finite(outputs.train):
        return {"changed_layerwise": empty, "layers_difference": empty}
    divided, some = divide_layers(network, norm), slice(EXAMPLES_AT_ONCE)
    train, expected = logits(divided, examples.train_x[some]), normalized.train[some]
    row = {"changed_layerwise": float((train.argmax(1) != outputs.train[some].argmax(1)).double().mean())}
    light = is_bias_light(network)
    return row | {"layers_difference": float((train - expected).abs().max() / expected.abs().max()) if light else empty}


def _margin_summary(split: str, outputs: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    values = margins(outputs, labels)
    summary = {f"margin_{split}_{name}": float(torch.quantile(values, q)) for name, q in QUANTILES.items()}
    return summary | {f"margin_{split}_mean": float(values.mean())}


def _absorbed(network: nn.Module, examples: Examples) -> nn.Module:
    """The network with its batch norm absorbed, after a check that outputs agree."""
    absorbed = absorb_batch_norm(network)
    before, after = (logits(n, examples.train_x[:EXAMPLES_AT_ONCE]) for n in (network, absorbed))
    largest = float(before[before.isfinite()].abs().max()) if before.isfinite().any() else 0.0
    if not torch.allclose(before, after, rtol=1e-4, atol=1e-4 * max(1.0, largest), equal_nan=True):
        raise RuntimeError(f"absorbing batch norm changed an output by {float((before - after).abs().max()):g}")
    return absorbed
