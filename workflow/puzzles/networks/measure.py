"""Losses, errors, margins, active units. The forward pass is float32; everything from the logits on is float64."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from puzzles.data.preparation import Examples
from puzzles.networks.architectures import absorb_batch_norm, has_shortcuts
from puzzles.networks.norms import is_bias_light, layer_norms, normalize_layers, rho

EXAMPLES_AT_ONCE = 1000  # examples in one forward pass
QUANTILES = {"min": 0.0, "p01": 0.01, "p10": 0.1, "median": 0.5}
IN_FLOAT32 = (  # whatever the user has set: no TF32 or bfloat16, and on a GPU no algorithm that was chosen by a timing
    (torch.backends.cudnn.conv, "fp32_precision", "ieee"),  # type: ignore[attr-defined]  # made at import
    (torch.backends.cuda.matmul, "fp32_precision", "ieee"),
    (torch.backends.mkldnn.conv, "fp32_precision", "ieee"),  # type: ignore[attr-defined]
    (torch.backends.mkldnn.matmul, "fp32_precision", "ieee"),  # type: ignore[attr-defined]
    (torch.backends.cudnn, "benchmark", False),
)


def logits(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Outputs [N, C] in float64 of images [N, H, W, channels], in eval mode and in float32."""
    network.eval()
    with torch.no_grad(), _in_float32():
        return torch.cat([network(chunk.permute(0, 3, 1, 2)).double() for chunk in images.split(EXAMPLES_AT_ONCE)])


@contextmanager
def _in_float32() -> Iterator[None]:
    """By torch's newer names: the older ones (``allow_tf32``) cannot be read where the user has used the newer ones."""
    before = [getattr(owner, name) for owner, name, _ in IN_FLOAT32]
    try:
        for owner, name, value in IN_FLOAT32:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(IN_FLOAT32, before, strict=True):
            setattr(owner, name, value)


def cross_entropy(outputs: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean over examples of the natural-log cross-entropy of softmax(+f) (Eqs. 9, 10, corrected)."""
    return float(nn.functional.cross_entropy(outputs, labels))


def classification_error(outputs: torch.Tensor, labels: torch.Tensor) -> float:
    """The fraction of examples whose largest output is not their label's."""
    return float((outputs.argmax(dim=1) != labels).double().mean())


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


def history_row(network: nn.Module, examples: Examples, x0: torch.Tensor) -> dict[str, float]:
    """One row of the training history: losses and errors on the whole sets, rho and normalized losses.

    rho is the product of Frobenius norms, or the output norm for x0 in a network with shortcuts.
    """
    train, test = logits(network, examples.train_x), logits(network, examples.test_x)
    scale = normalizer(network, "output" if has_shortcuts(network) else "l2", x0)
    unnormalized = _losses(train, test, examples) | _errors(train, test, examples)
    return {**unnormalized, "rho": scale, **_losses(train / scale, test / scale, examples, "norm_")}


def measurements(
    network: nn.Module, examples: Examples, norms: tuple[str, ...], x0: torch.Tensor
) -> tuple[list[dict[str, float | str]], np.ndarray]:
    """Measure one network: a row of the tables for each norm, and its largest outputs.

    ``norm_*``: of the normalized network f / rho. ``changed_predictions``: how many training and test examples it classifies
    differently. ``layers_difference``: the largest difference between f / rho and the network normalized layer by layer,
    relative to the largest output (Eq. 1; empty where they differ by definition: biases after the first layer, norm
    ``output``). ``layer_norm_<k>``: the factors of rho. ``max_output_*``: of the largest output of each training example
    (Fig. 20). Margins: the minimum, the 1 % and 10 % quantiles, the median and the mean.

    Returns:
        The rows, and the largest unnormalized output of each training example, [N].

    Raises:
        RuntimeError: without its batch norm the network computes something else.
    """
    network = network if has_shortcuts(network) else _absorbed(network, examples)
    with watched_units(network) as active_units:
        train = logits(network, examples.train_x)
    test = logits(network, examples.test_x)
    largest = train.max(dim=1).values
    common = _losses(train, test, examples) | _errors(train, test, examples) | _mean_and_std("max_output", largest)
    common |= {"active_units": active_units()}
    rows = []
    for norm in norms:
        scale = normalizer(network, norm, x0)
        row: dict[str, float | str] = {"norm": norm, "rho": scale, **common}
        row |= _losses(train / scale, test / scale, examples, "norm_") | _errors(
            train / scale, test / scale, examples, "norm_"
        )
        row |= _mean_and_std("norm_max_output", largest / scale)
        row["changed_predictions"] = sum(int((f.argmax(1) != (f / scale).argmax(1)).sum()) for f in (train, test))
        row["layers_difference"] = _layers_difference(network, norm, scale, train, examples)
        if norm != "output":
            row |= {f"layer_norm_{k}": value for k, value in enumerate(layer_norms(network, norm), start=1)}
        row |= _margin_summary("train", train / scale, examples.train_y)
        row |= _margin_summary("test", test / scale, examples.test_y)
        rows.append(row)
    return rows, largest.cpu().numpy()


def rescaled_losses(network: nn.Module, examples: Examples, scales: list[float]) -> list[dict[str, float]]:
    """Training and test loss of one network, its outputs divided by each of ``scales``."""
    train, test = logits(network, examples.train_x), logits(network, examples.test_x)
    return [{"rho": scale, **_losses(train / scale, test / scale, examples, "norm_")} for scale in scales]


@contextmanager
def watched_units(network: nn.Module) -> Iterator[Callable[[], float]]:
    """Record which ReLU units (channel and position) fire while the block computes outputs.

    Yields a function that returns the share of units that have fired for at least one image, in the layer with the smallest.
    """
    fired: dict[nn.Module, torch.Tensor] = {}

    def note(layer: nn.Module, _: tuple, output: torch.Tensor) -> None:
        now = (output > 0).any(dim=0)
        fired[layer] = fired[layer] | now if layer in fired else now

    hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.ReLU)]
    try:
        yield lambda: min(float(units.double().mean()) for units in fired.values())
    finally:
        for hook in hooks:
            hook.remove()


def _losses(train: torch.Tensor, test: torch.Tensor, examples: Examples, prefix: str = "") -> dict[str, float]:
    return {
        f"{prefix}train_loss": cross_entropy(train, examples.train_y),
        f"{prefix}test_loss": cross_entropy(test, examples.test_y),
    }


def _errors(train: torch.Tensor, test: torch.Tensor, examples: Examples, prefix: str = "") -> dict[str, float]:
    return {
        f"{prefix}train_error": classification_error(train, examples.train_y),
        f"{prefix}test_error": classification_error(test, examples.test_y),
    }


def _mean_and_std(name: str, values: torch.Tensor) -> dict[str, float]:
    return {f"{name}_mean": float(values.mean()), f"{name}_std": float(values.std(correction=0))}


def _layers_difference(network: nn.Module, norm: str, scale: float, train: torch.Tensor, examples: Examples) -> float:
    """See ``measurements``; computed on the first training images, nan where they differ by definition."""
    if norm == "output" or not is_bias_light(network):
        return float("nan")
    expected = train[:EXAMPLES_AT_ONCE] / scale
    layer_by_layer = logits(normalize_layers(network, norm), examples.train_x[:EXAMPLES_AT_ONCE])
    return float((layer_by_layer - expected).abs().max() / expected.abs().max())


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
