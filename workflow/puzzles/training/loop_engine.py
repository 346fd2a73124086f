"""Train one network after the other: on a CPU, and wherever networks cannot be stacked."""

from collections.abc import Iterator

from torch import nn

from puzzles.data.batches import batches, learning_rate
from puzzles.networks.arithmetic import arithmetic
from puzzles.networks.measure import Outputs, network_outputs
from puzzles.training.members import Member


class LoopEngine:
    """Trains one network after the other, which is the fastest way on a CPU (channels_last, one thread)."""

    def train_epoch(self, members: list[Member]) -> None:
        """Advance every member by one epoch of SGD on the mean cross-entropy."""
        for member in members:
            spec, network, examples = member.spec, member.network.train(), member.examples
            for group in member.optimizer.param_groups:
                group["lr"] = learning_rate(spec, member.epoch)
            with arithmetic(spec.precision):
                for x, y in batches(examples, spec, member.epoch):
                    loss = nn.functional.cross_entropy(network(x.permute(0, 3, 1, 2)), y)
                    member.optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    member.optimizer.step()
            member.epoch += 1
            member.note_engine("loop")

    def outputs(self, members: list[Member]) -> Iterator[tuple[Member, Outputs]]:
        """Each member with the logits of its training and test images."""
        for member in members:
            yield member, network_outputs(member.network, member.examples)
