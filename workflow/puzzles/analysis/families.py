"""Families of networks to hold against the paper's line: each makes a line, and none of them is about generalization."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import nn

from puzzles.base.randomness import generator
from puzzles.config.experiments import Experiment, Network
from puzzles.data.preparation import Examples, Preparation
from puzzles.networks.architectures import build, initialize
from puzzles.networks.measure import Outputs, losses_and_errors, network_outputs, normalizer, output_norms, rescaled_losses

UNTRAINED_SEED = 10_000  # far from any seed of a configuration
EARLY_ERROR = 0.02  # training error above which an epoch of a training is early
FACTORS = tuple(10.0**k for k in range(7))  # R of Eq. 6
COLUMNS = ["experiment", "family", "network", "rho", "norm_train_loss", "norm_test_loss"]


def other_divisors(experiment: str, rho: dict[str, float]) -> dict[str, dict[str, float]]:
    """What each network is divided by instead of its own rho, by family and network.

    ``permuted_rho``: the rho of another network; all networks are in one random cycle, so that none keeps its own.
    ``common_constant``: the geometric mean of all.

    Args:
        rho: of the natural-label networks that met their criterion, by name.
    """
    names = list(rho)
    cycle = [names[k] for k in generator(0, f"permuted_rho/{experiment}").permutation(len(names))]
    following = dict(zip(cycle, [*cycle[1:], *cycle[:1]], strict=True))
    common = float(np.exp(np.mean(np.log(list(rho.values()))))) if rho else np.nan
    return {
        "permuted_rho": {name: rho[following[name]] for name in names},
        "common_constant": dict.fromkeys(names, common),
    }


def of_a_trained_network(
    name: str, outputs: Outputs, examples: Examples, rho: dict[str, float], others: dict[str, dict[str, float]]
) -> Iterator[dict]:
    """The rows of one network in the families that divide trained networks by something else, exact from its outputs.

    ``permuted_rho`` and ``common_constant``: see ``other_divisors``. ``one_rescaled``: the first network divided by the rho
    of each. Nothing for a network that is not in ``rho``.

    Args:
        others: what ``other_divisors`` gives.
    """
    if name not in rho:
        return
    scales = {family: divisors[name] for family, divisors in others.items()}
    for family, row in zip(scales, rescaled_losses(outputs, examples, list(scales.values())), strict=True):
        yield {"family": family, "network": name} | row
    if name == next(iter(rho)):
        for row in rescaled_losses(outputs, examples, list(rho.values())):
            yield {"family": "one_rescaled", "network": name} | row


def of_other_images(
    name: str, module: nn.Module, outputs: Outputs, examples: Examples, images: torch.Tensor
) -> Iterator[dict]:
    """``image_<k>``: a network divided by the norm of its output for image k instead of that for x0 (App. H)."""
    for k, row in enumerate(rescaled_losses(outputs, examples, output_norms(module, images))):
        yield {"family": f"image_{k}", "network": name} | row


def untrained(experiment: Experiment, networks: list[Network], preparation: Preparation) -> Iterator[dict]:
    """Each network as initialized, from a seed of its own.

    With one seed for all, networks that differ in the scale of the weights only would coincide once normalized. The seed
    follows from the spec, so that the order of a sweep's values changes nothing.
    """
    for network in networks:
        spec = replace(network.spec, seed=UNTRAINED_SEED + int(network.spec.hash, 16) % UNTRAINED_SEED, pretrained="")
        examples = preparation.examples(network.spec)
        module = build(spec.architecture, examples.input_shape, preparation.dataset.num_classes).to(preparation.device)
        initialize(module, spec)
        x0 = preparation.reference_image(spec, experiment.output_image)
        scale = normalizer(module, experiment.norms[0], x0)
        (row,) = rescaled_losses(network_outputs(module, examples), examples, [scale])
        yield {"family": "untrained", "network": network.name} | row


def early(networks: list[Network], history: pd.DataFrame) -> Iterator[dict]:
    """The first epochs of each training, while more than 2 % of its training examples are misclassified."""
    rows = history[history.network.isin([n.name for n in networks])]
    rows = rows[(rows.epoch > 0) & (rows.train_error > EARLY_ERROR)]
    for row in rows[["network", "rho", "norm_train_loss", "norm_test_loss"]].to_dict("records"):
        yield {"family": "early"} | row


def rescaled_rows(about: dict, outputs: Outputs, examples: Examples, rho: float) -> Iterator[dict]:
    """Losses and errors of R f~ for R = 1, 10, ..., 10^6 and rho (Eq. 6); at R = rho it is the network as it is."""
    for name, factor in [*((f"{r:g}", r) for r in FACTORS), ("rho", rho)]:
        yield about | {"rescaling": name, "factor": factor} | losses_and_errors(outputs / (rho / factor), examples)
