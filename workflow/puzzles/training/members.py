"""Members of a population (a network with its optimizer and history), and the interface of the engines that train them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import nn

from puzzles.config.specs import NetworkSpec, Select
from puzzles.data.batches import learning_rate
from puzzles.data.preparation import Examples
from puzzles.networks.measure import Outputs, is_dead
from puzzles.training.cache import State

Request = tuple[NetworkSpec, list[Select]]  # a network and the snapshots of its training to keep


@dataclass
class Member:
    """One network in training."""

    spec: NetworkSpec
    select: list[Select]
    network: nn.Module
    optimizer: torch.optim.Optimizer
    examples: Examples
    num_classes: int
    epoch: int = 0
    history: list[dict] = field(default_factory=list)
    snapshots: dict[str, State] = field(default_factory=dict)
    engines: list[str] = field(default_factory=list)  # which have trained it, as ``note_engine`` names them
    dead: bool = False  # as last evaluated: no step will change anything

    @property
    def evaluated(self) -> bool:
        """Whether the network has been evaluated at this epoch."""
        return bool(self.history) and self.history[-1]["epoch"] == self.epoch

    @property
    def finished(self) -> bool:
        """Whether the stop rule is met, or the loss is no longer a number, or the network is dead."""
        if not self.evaluated:
            return False
        last = self.history[-1]
        if self.dead or not math.isfinite(last["train_loss"]):
            return True
        early = self.spec.stop == "until_zero_train_error" and self.epoch >= self.spec.epochs
        return self.epoch >= self.spec.last_epoch or (early and last["train_error"] == 0)

    @property
    def due(self) -> bool:
        """Whether the network is to be evaluated on the whole sets at this epoch."""
        return self.epoch % self.spec.evaluate_every == 0 or self.epoch in (self.spec.epochs, self.spec.last_epoch)

    def note_engine(self, backend: str) -> None:
        """Remember what trains the network: the backend (see ``backends.BACKENDS``) and the kind of device."""
        device = next(self.network.parameters()).device
        name = f"{backend} on {torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type}"
        if name not in self.engines:
            self.engines.append(name)

    def look_whether_dead(self) -> None:
        """Set ``dead`` after an evaluation: no gradient reaches the network, and what momentum is left moves no weight.

        So an end here has the weights of an end at the last epoch.
        """
        guessing = math.isclose(self.history[-1]["train_loss"], math.log(self.num_classes), rel_tol=1e-9)
        self.dead = guessing and self._at_rest() and is_dead(self.network, self.examples)

    def _at_rest(self) -> bool:
        spec, rate = self.spec, learning_rate(self.spec, self.epoch)
        if spec.weight_decay or spec.lr_gamma > 1 or spec.augment != "none":
            return False  # something may move the weights, or show the network other images
        for parameter in self.network.parameters():
            momentum = self.optimizer.state[parameter].get("momentum_buffer") if parameter in self.optimizer.state else None
            if momentum is not None and not torch.equal(parameter, parameter - rate * momentum):
                return False
        return True


class Engine(Protocol):
    """How the networks of a population step together."""

    def train_epoch(self, members: list[Member]) -> None:
        """Advance every member's network and optimizer by one epoch, and note in each member what has trained it."""

    def outputs(self, members: list[Member]) -> Iterator[tuple[Member, Outputs]]:
        """Each member, in any order, with the logits of its training and test images as they are now."""
