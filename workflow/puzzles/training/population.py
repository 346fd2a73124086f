"""Train a population of networks. The result of a network does not depend on the others."""

import logging
import math
import time
from collections.abc import Callable, Iterator

import torch

from puzzles.base.errors import StorageError
from puzzles.config.specs import NetworkSpec, Select
from puzzles.data.batches import learning_rate
from puzzles.data.dataset import Dataset
from puzzles.data.preparation import Preparation
from puzzles.networks.architectures import build, initialize
from puzzles.networks.evaluation import Evaluated, history_rows
from puzzles.networks.transfer import to_host
from puzzles.training import cache
from puzzles.training.fastest_backend import MeasuredEngine
from puzzles.training.loop_engine import LoopEngine
from puzzles.training.members import Engine, Member, Request

log = logging.getLogger(__name__)


class Population:
    """Networks that train together on one data set.

    Args:
        dataset: what they are trained on.
        pretrained: weights by spec hash, for specs that start from another network.
        checkpoint_seconds: time between two checkpoints of a network.
        device: where they train; on a CPU one network after the other, on a GPU stacked.
    """

    def __init__(
        self,
        dataset: Dataset,
        pretrained: dict[str, cache.State],
        checkpoint_seconds: float = 30.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.dataset = dataset
        self.digest = dataset.digest
        self.pretrained = pretrained
        self.checkpoint_seconds = checkpoint_seconds
        self.device = torch.device(device)
        self.engine: Engine = LoopEngine() if self.device.type == "cpu" else MeasuredEngine()
        self.preparation = Preparation(dataset, self.device)

    def train(
        self,
        requests: list[Request],
        on_finish: Callable[[NetworkSpec, cache.Entry], None],
        on_epoch: Callable[[list[Member]], None] = lambda members: None,
    ) -> None:
        """Train every network to its end, resuming from checkpoints; call ``on_finish`` with each one that is finished.

        Raises:
            Exception: whatever ``on_finish`` has raised, after each other finished network had its turn and checkpoints of
                the rest were written as far as possible.
        """
        members = [self._member(spec, select) for spec, select in requests]
        saved = time.monotonic()
        while members:
            self._evaluate([m for m in members if m.due and not m.evaluated])
            running, finished = [m for m in members if not m.finished], [m for m in members if m.finished]
            failures = []
            for member, snapshots in zip(finished, self._final_snapshots(finished), strict=True):
                _warn_of_an_odd_end(member)
                try:
                    on_finish(member.spec, cache.Entry(self.digest, member.history, snapshots, member.engines))
                    cache.drop_checkpoint(member.spec)
                except Exception as error:  # most likely a full disk
                    failures.append((member, error))
            if failures:
                self._save_what_can_be_saved([*running, *(member for member, _ in failures)])
                raise failures[0][1]
            members = running
            if time.monotonic() - saved >= self.checkpoint_seconds:
                for member, state in zip(members, self._states(members), strict=True):
                    cache.store_checkpoint(member.spec, state)
                saved = time.monotonic()
            if members:
                self.engine.train_epoch(members)
                on_epoch(members)

    def _save_what_can_be_saved(self, members: list[Member]) -> None:
        for member, state in zip(members, self._states(members), strict=True):
            try:
                cache.store_checkpoint(member.spec, state)
            except StorageError as error:
                log.warning(str(error))

    def _member(self, spec: NetworkSpec, select: list[Select]) -> Member:
        examples = self.preparation.examples(spec)
        network = build(spec.architecture, examples.input_shape, self.dataset.num_classes)
        initialize(network, spec)
        if spec.pretrained:
            network.load_state_dict(self.pretrained[spec.pretrained])
        flat = all(parameter.dim() < 5 for parameter in network.parameters())  # channels_last is for images, not volumes
        network = network.to(self.device)
        if flat:  # torch's stubs know of no memory_format
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.SGD(
            network.parameters(), lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay, foreach=True
        )
        member = Member(spec, select, network, optimizer, examples, self.dataset.num_classes)
        saved = cache.load_checkpoint(spec, self.digest)
        names = {s.name for s in select}
        if saved is not None and names <= set(saved["select"]):
            network.load_state_dict(saved["network"])
            for name, buffer in saved["momentum"].items():
                parameter = network.get_parameter(name)
                optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(buffer)
            member.epoch, member.history, member.engines = saved["epoch"], saved["history"], saved.get("engines", [])
            # drop snapshots that are no longer asked for: they would be stored without being updated
            member.snapshots = {name: state for name, state in saved["snapshots"].items() if name in names}
        return member

    def _states(self, members: list[Member]) -> list[dict]:
        """What checkpoints hold, copied from the device together."""
        parts = [[m.network.state_dict(), _momentum(m), *m.snapshots.values()] for m in members]
        copies = iter(_copied([part for of_member in parts for part in of_member]))
        return [
            {
                "data": self.digest,
                "select": [s.name for s in member.select],
                "network": next(copies),
                "momentum": next(copies),
                "snapshots": {name: next(copies) for name in member.snapshots},
                "epoch": member.epoch,
                "history": member.history,
                "engines": member.engines,
            }
            for member in members
        ]

    def _evaluate(self, members: list[Member]) -> None:
        evaluated: list[Member] = []

        def answers() -> Iterator[Evaluated]:
            for member, outputs in self.engine.outputs(members):
                evaluated.append(member)  # an engine may answer in another order
                yield Evaluated(member.network, member.examples, self.preparation.reference_image(member.spec), outputs)

        for row, member in zip(history_rows(answers()), evaluated, strict=True):
            lr = learning_rate(member.spec, max(member.epoch - 1, 0))
            member.history.append({"epoch": member.epoch, "lr": lr, **row})
            member.look_whether_dead()
            for select in member.select:
                if select.rule != "last" and select.pick(member.history) is member.history[-1]:
                    # kept on the device: a later epoch may replace it until the network is finished
                    member.snapshots[select.name] = {name: t.clone() for name, t in member.network.state_dict().items()}

    @staticmethod
    def _final_snapshots(members: list[Member]) -> list[dict[str, cache.State]]:
        kept = [
            member.snapshots | {s.name: member.network.state_dict() for s in member.select if s.rule == "last"}
            for member in members
        ]
        copies = iter(_copied([state for snapshots in kept for state in snapshots.values()]))
        return [{name: next(copies) for name in snapshots} for snapshots in kept]


def _warn_of_an_odd_end(member: Member) -> None:
    if member.dead or not math.isfinite(member.history[-1]["train_loss"]):
        how = "dead, nothing moves it any more" if member.dead else "its loss is no finite number"
        log.warning("network %s ends at epoch %d: %s", member.spec.hash[:8], member.epoch, how)


def _momentum(member: Member) -> cache.State:
    """The momentum buffers by the names of their parameters; none before the first step."""
    state = member.optimizer.state
    return {name: state[p]["momentum_buffer"] for name, p in member.network.named_parameters() if p in state}


def _copied(states: list[cache.State]) -> list[cache.State]:
    """Copies of states on the CPU. In a stack, a network's tensors are views of the tensors of all networks."""
    copies = iter(to_host([tensor for state in states for tensor in state.values()]))
    return [{name: next(copies) for name in state} for state in states]
