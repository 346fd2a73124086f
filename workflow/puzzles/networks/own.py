"""Networks of one's own, built by ``module:function``: load the code, check what it returns, normalize it."""

import contextlib
import copy
import functools
import importlib
import importlib.util
import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import nn

from puzzles.base.errors import ArchitectureError, NormalizationError
from puzzles.base.randomness import generator
from puzzles.config.experiments import Experiment
from puzzles.config.own_code import is_own
from puzzles.config.specs import Architecture, NetworkSpec
from puzzles.data.dataset import Dataset
from puzzles.normalize.layers import FOLDABLE, matrix_norm
from puzzles.normalize.product import Normalizer

log = logging.getLogger(__name__)

TRIED_ON = 4  # images of random pixels: what the checks need


class Own(nn.Module):
    """A network of one's own, with what its outputs are divided by.

    ``normalizer`` finds the norms of its layers; None where dividing by their product means nothing, for the reason in
    ``refusal``: then only the output norm is left.
    """

    def __init__(self, make: Callable[[], nn.Module], normalizer: Normalizer | None, refusal: str) -> None:
        super().__init__()
        self._make, self.normalizer, self.refusal = make, normalizer, refusal
        self.network = self.fresh(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to [B, classes]."""
        logits: torch.Tensor = self.network(x)
        return logits

    def layer_norms(self, norm: str) -> list[torch.Tensor]:
        """The norm of each layer as float64 tensors, in the order of computation (``norms.layer_norm_values``).

        Raises:
            ArchitectureError: there are none.
        """
        if self.normalizer is None:
            raise ArchitectureError(self.refusal)
        return [matrix_norm(matrix, norm) for matrix in self.normalizer.matrices(self.network)]

    def fresh(self, seed: int) -> nn.Module:
        """The network as its builder draws it, with torch's generator set from the seed."""
        with seeded(seed):
            return self._make()


def build_own(architecture: Architecture, input_shape: tuple[int, int, int], num_classes: int) -> Own:
    """Call the builder of an architecture; what it returns is tried once in each process.

    Raises:
        ArchitectureError: the code fails, or the network does not map images to logits, or it draws random numbers in
            training (dropout), which would not be the same after a kill; one line that names the builder.
    """
    return Own(_maker(architecture, input_shape, num_classes), *_tried(architecture, input_shape, num_classes))


def _maker(architecture: Architecture, input_shape: tuple[int, int, int], num_classes: int) -> Callable[[], nn.Module]:
    name, arguments = architecture.builder, json.loads(architecture.arguments or "{}")
    function = _function(name, architecture.path)

    def make() -> nn.Module:
        with _in_one_line(name, f"called with input_shape={input_shape}, num_classes={num_classes}, {arguments}"):
            return function(input_shape=input_shape, num_classes=num_classes, **arguments)

    return make


@functools.cache
def _tried(architecture: Architecture, input_shape: tuple[int, int, int], num_classes: int) -> tuple[Normalizer | None, str]:
    """What the networks of an architecture are divided by, or why not by a product, after a check of one of them."""
    name = architecture.builder
    with seeded(0):
        network, images = _maker(architecture, input_shape, num_classes)(), torch.rand(TRIED_ON, *input_shape)
        if not isinstance(network, nn.Module):
            raise ArchitectureError(f"{name}: returned a {type(network).__name__}, expected a torch.nn.Module")
        tried = copy.deepcopy(network)
        with _in_one_line(name, f"given images of shape {list(images.shape)}"):
            outputs = tried(images)
        found = list(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        if found != [TRIED_ON, num_classes]:
            raise ArchitectureError(f"{name}: found outputs {found}, expected logits [{TRIED_ON}, {num_classes}]")
        if not torch.equal(outputs, tried(images)):
            raise ArchitectureError(
                f"{name}: found two different outputs for the same images in training mode, expected no random numbers "
                f"(remove dropout: what it draws would not be the same after a kill)"
            )
        try:
            return _normalizer(network, images), ""
        except NormalizationError as error:
            return None, str(error)


def _normalizer(network: nn.Module, images: torch.Tensor) -> Normalizer:
    """With the first layer's bias where the others have none, of the weights alone where they have (see ``norms.rho``)."""
    try:
        return Normalizer(network, images, biases="first")
    except NormalizationError:
        return Normalizer(network, images, biases="ignore")


def initialize_own(network: Own, spec: NetworkSpec) -> None:
    """Draw the initial weights of a spec.

    ``default``: as its builder draws them, with torch's generator set from the spec's seed. ``gaussian``, ``kaiming``: then
    the weights of linear and convolutional layers are drawn again, each from its own stream, as in the paper's networks.
    ``init_bias: zero`` sets their biases to zero; ``init_gain`` multiplies their weights.
    """
    network.network.load_state_dict(network.fresh(spec.seed).state_dict())
    with torch.no_grad():
        for name, layer in network.network.named_modules():
            if not isinstance(layer, FOLDABLE):
                continue
            if spec.init != "default":
                shape = tuple(layer.weight.shape)
                std = spec.init_std if spec.init == "gaussian" else (2 / int(np.prod(shape[1:]))) ** 0.5
                draw = generator(spec.seed, f"init/{name}.weight").standard_normal(shape)
                layer.weight.copy_(torch.from_numpy(draw * std))
            layer.weight.mul_(spec.init_gain)
            if layer.bias is not None and spec.init_bias == "zero":
                layer.bias.zero_()


def check_experiment(experiment: Experiment, dataset: Dataset) -> None:
    """Before training: whether own builders work with the images, and their networks with the norms asked for.

    Raises:
        ArchitectureError: they do not.
    """
    key, norms = f"config: experiments.{experiment.name}.norms", experiment.norms
    height, width, channels = dataset.train_x.shape[1:]
    for spec in {n.spec.architecture: n.spec for n in experiment.networks if is_own(n.spec.architecture.builder)}.values():
        if "l2_biases" in norms:
            expected = "some of l2, l1, linf, spectral, output"
            raise ArchitectureError(f"{key}: found l2_biases with {spec.architecture.builder}, expected {expected}")
        shape = (channels, spec.image_size or height, spec.image_size or width)
        network = build_own(spec.architecture, shape, dataset.num_classes)
        if network.normalizer is None and set(norms) != {"output"}:
            raise ArchitectureError(f"{key}: found {', '.join(norms)}, expected [output]: {network.refusal}")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Set torch's generators from a stream of a seed, and put them back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(seed, "init/builder").integers(2**63)))
        yield


@contextlib.contextmanager
def _in_one_line(builder: str, when: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever the user's code raises
        log.info("%s", traceback.format_exc())
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ArchitectureError(
            f"{builder}: {when}: {type(error).__name__} in {Path(place.filename).name}, line {place.lineno}: {error}"
        ) from error


def _function(builder: str, path: str) -> Callable[..., nn.Module]:
    module, _, function = builder.partition(":")
    with _in_one_line(builder, "imported"):
        loaded = _from_file(module, path) if path else importlib.import_module(module)
        found: Callable[..., nn.Module] = getattr(loaded, function)
    return found


@functools.cache
def _from_file(module: str, path: str) -> ModuleType:
    """A module from its file; the files beside it can be imported by their names meanwhile."""
    spec = importlib.util.spec_from_file_location(module, path)
    assert spec is not None and spec.loader is not None  # it ends in .py
    loaded = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(path).parent))
    try:
        spec.loader.exec_module(loaded)
    finally:
        sys.path.pop(0)
    return loaded
