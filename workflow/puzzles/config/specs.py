"""Specs: frozen descriptions of everything that determines the weights of a trained network, and their hashes."""

import functools
import hashlib
import json
import typing
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import Any, TypeVar

if typing.TYPE_CHECKING:
    from _typeshed import DataclassInstance  # known to type checkers only

Description = TypeVar("Description", bound="DataclassInstance")

# Increase it when a change of the code trains the same spec to other weights: all cached networks are then trained again.
TRAINER_VERSION = 1


@dataclass(frozen=True)
class Architecture:
    """The layers of a network; ``networks.architectures.build`` makes a module of them for a given input."""

    builder: str  # conv, five_layer, resnet, or module:function of one's own
    widths: tuple[int, ...] = ()  # filters (five_layer: and hidden units) of each hidden layer
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    bias: str = "all"  # none, first (layer 1 only), all
    batch_norm: bool = False
    depth: int = 0  # resnet only: 6n + 2
    # of one's own only
    arguments: str = ""  # of the function, as JSON
    source: str = ""  # digest of its code
    path: str = field(default="", compare=False)  # its file; no part of the spec


@dataclass(frozen=True)
class NetworkSpec:
    """Everything that determines a trained network. Which snapshots are kept (``Select``) is not part of it."""

    # data
    dataset: str
    architecture: Architecture
    train_size: int = 0  # examples, class-stratified; 0: all
    subset_seed: int = 0  # of the permutation that train_size takes a prefix of: one for all seeds
    image_size: int = 0  # pixels a side, resized bilinearly; 0: not resized
    input_mean: tuple[float, ...] = ()  # per channel or one for all, on the scale 0 to 1; (): of the training set
    input_std: tuple[float, ...] = ()
    augment: str = "none"  # none, crop_flip
    labels: str = "natural"  # natural, random
    corruption: float = 0.0  # share of the training labels that are corrupted
    corruption_rule: str = "replace"  # replace, permute
    # initialization
    init: str = "default"  # default (PyTorch's), gaussian, kaiming
    init_std: float = 0.0  # of every weight, gaussian only
    init_gain: float = 1.0  # multiplies every initial weight
    init_bias: str = "default"  # default (PyTorch's), zero
    pretrained: str = ""  # hash of the spec whose last weights training starts from
    # optimization: SGD on the mean cross-entropy
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 128
    lr_milestones: tuple[int, ...] = ()  # epochs after which lr is multiplied by lr_gamma
    lr_gamma: float = 0.1
    stop: str = "epochs"  # epochs, until_zero_train_error
    epochs: int = 100
    max_epochs: int = 0  # the cap of until_zero_train_error
    evaluate_every: int = 1  # epochs between two evaluations on the whole train and test sets
    precision: str = "fp32"  # IEEE's; tf32 on a GPU only
    seed: int = 0
    trainer_version: int = TRAINER_VERSION

    @property
    def last_epoch(self) -> int:
        """The epoch at which training ends at the latest."""
        return max(self.epochs, self.max_epochs) if self.stop == "until_zero_train_error" else self.epochs

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits that name this network in the cache."""
        return hashlib.sha256(canonical(self).encode()).hexdigest()[:16]


def batch_bounds(count: int, batch_size: int) -> list[tuple[int, int]]:
    """Start and end of each batch in the order of an epoch.

    The last batch may be smaller. A single example left over joins the batch before it, since batch norm needs two.
    """
    starts = list(range(0, count, batch_size))
    if count % batch_size == 1 and len(starts) > 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], count], strict=True))


def as_dict(spec: "DataclassInstance") -> dict:
    """The fields that have no default or differ from it: a new field with a default changes no existing hash."""
    values = {}
    for name, default, nested in _compared(type(spec)):
        value = getattr(spec, name)
        if name == "trainer_version" or value != default:
            values[name] = as_dict(value) if nested else value
    return values


@functools.cache
def _compared(kind: type["DataclassInstance"]) -> tuple[tuple[str, object, bool], ...]:
    """Name, default, and whether it is a description itself, of each field that counts when two are compared."""
    types = _types_of(kind)
    return tuple((f.name, f.default, is_dataclass(types[f.name])) for f in fields(kind) if f.compare)


def from_dict(kind: type[Description], values: dict) -> Description:
    """The inverse of ``as_dict``; numbers and lists take the type of their field, so 1 and 1.0 give one hash."""
    types = _types_of(kind)
    return kind(**{name: _converter(types[name])(value) for name, value in values.items()})


@functools.cache
def _types_of(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def canonical(spec: NetworkSpec) -> str:
    """JSON with sorted keys and without defaults; equal specs give the same string."""
    return json.dumps(as_dict(spec), sort_keys=True, separators=(",", ":"))


@functools.cache
def _converter(kind: type) -> Callable[[Any], object]:
    """What makes a value of a field's type from one that YAML has."""
    if is_dataclass(kind):
        return lambda value: value if isinstance(value, kind) else from_dict(kind, value)
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return lambda value: tuple(item(v) for v in (value if isinstance(value, (list, tuple)) else [value]))
    return kind


@dataclass(frozen=True)
class Select:
    """Which epoch of a training is kept: ``last``, ``first_zero_train_error``, ``closest_to_train_loss`` or ``within``.

    ``max_train_error`` is the training error up to which a snapshot has met its criterion ("zero training error").
    """

    rule: str
    train_loss: float = 0.0
    tolerance: float = 0.0  # relative for closest_to_train_loss, absolute for within
    max_train_error: float = field(default=0.0, compare=False)

    @property
    def name(self) -> str:
        """The snapshot's name in the cache and in the tables, e.g. ``within_0.0044_0.0001``."""
        numbers = {"closest_to_train_loss": [self.train_loss], "within": [self.train_loss, self.tolerance]}
        return "_".join([self.rule, *(f"{n:g}" for n in numbers.get(self.rule, []))])

    def pick(self, history: list[dict]) -> dict:
        """The row of ``history`` (evaluated epochs only) that this rule keeps; ties go to the earlier epoch."""
        if self.rule == "last":
            return history[-1]
        # skip the untrained network (epoch 0) unless nothing else has been evaluated yet
        trained = history[1:] or history
        if self.rule == "first_zero_train_error":
            return next((row for row in trained if row["train_error"] == 0), trained[-1])
        return min(trained, key=self._score)

    def met(self, train_loss: float, train_error: float) -> bool:
        """Whether a snapshot satisfies the rule and the training error asked for."""
        allowed = 0.0 if self.rule == "first_zero_train_error" else self.max_train_error
        return bool(train_error <= allowed and self._in_band(train_loss))

    def _score(self, row: dict) -> tuple[bool, float]:
        # Fig. 13: within the band only epochs without training error count; the nearest such epoch is taken
        hit = self.rule == "within" and row["train_error"] == 0 and self._in_band(row["train_loss"])
        distance = abs(row["train_loss"] - self.train_loss)
        return (not hit, distance if distance == distance else float("inf"))

    def _in_band(self, train_loss: float) -> bool:
        if self.rule == "closest_to_train_loss":
            return abs(train_loss - self.train_loss) <= self.tolerance * self.train_loss
        return self.rule != "within" or abs(train_loss - self.train_loss) <= self.tolerance
