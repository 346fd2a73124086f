"""Members of a population (a network with its optimizer and history), and the interface of the engines that train them."""

import math
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import nn

from puzzles.config.specs import NetworkSpec, Select
from puzzles.data.preparation import Examples
from puzzles.training.cache import State

Request = tuple[NetworkSpec, list[Select]]  # a network and the snapshots of its training to keep


@dataclass
class Member:
    """One network in training."""

    spec: NetworkSpec
    select: list[Select]
    network: nn.Sequential
    optimizer: torch.optim.Optimizer
    examples: Examples
    epoch: int = 0
    history: list[dict] = field(default_factory=list)
    snapshots: dict[str, State] = field(default_factory=dict)

    @property
    def evaluated(self) -> bool:
        """Whether the network has been evaluated at this epoch."""
        return bool(self.history) and self.history[-1]["epoch"] == self.epoch

    @property
    def finished(self) -> bool:
        """Whether the stop rule is met, or the loss is no longer a number."""
        if not self.evaluated:
            return False
        last = self.history[-1]
        if not math.isfinite(last["train_loss"]):
            return True
        early = self.spec.stop == "until_zero_train_error" and self.epoch >= self.spec.epochs
        return self.epoch >= self.spec.last_epoch or (early and last["train_error"] == 0)

    @property
    def due(self) -> bool:
        """Whether the network is to be evaluated on the whole sets at this epoch."""
        return self.epoch % self.spec.evaluate_every == 0 or self.epoch in (self.spec.epochs, self.spec.last_epoch)


class Engine(Protocol):
    """How the networks of a population step together."""

    def train_epoch(self, members: list[Member]) -> None:
        """Advance every member's network and optimizer by one epoch."""
