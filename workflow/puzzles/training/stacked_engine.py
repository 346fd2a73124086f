"""Train networks as one stack: stacked parameters, data on the device, one optimizer, whole steps as CUDA graphs."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from puzzles.config.own_code import is_own
from puzzles.config.specs import batch_bounds
from puzzles.data.batches import batch_order, crop_draws, crop_flip, learning_rate
from puzzles.networks.arithmetic import arithmetic
from puzzles.networks.measure import EXAMPLES_AT_ONCE, Outputs
from puzzles.training.backends import BACKENDS, capture_stream, compiled, joined_streams
from puzzles.training.loop_engine import LoopEngine
from puzzles.training.members import Member
from puzzles.training.stacked_layers import StackedBatchNorm, share, stack
from puzzles.training.stacked_sgd import StackedSGD

SHRINK = 0.5  # of a stack's networks have to be running
WARM_UP = 3  # steps to run before one is recorded
EVALUATED_AT_ONCE = 8 * EXAMPLES_AT_ONCE  # images in one forward pass of a stack, those of all its networks counted


def stackable(member: Member) -> tuple:
    """What members of a stack must have in common: everything that determines the shape of a step."""
    spec, (channels, height, width) = member.spec, member.examples.input_shape
    shapes = (channels, height, width, len(member.examples.train_y), member.num_classes)
    scaling = (spec.input_mean, spec.input_std)  # decides what is black beside a crop
    return (spec.architecture, spec.batch_size, spec.augment, scaling, spec.precision, shapes)


def see_the_same_images(members: list[Member]) -> bool:
    """Whether all members get the same images in every batch (their labels, weights and learning rates may differ)."""
    return len({(m.spec.seed, m.examples.train_x.data_ptr()) for m in members}) == 1


class Stack:
    """P networks that step together.

    Args:
        members: of one ``stackable`` key, at the same epoch.
        backend: a key of ``backends.BACKENDS``.
    """

    def __init__(self, members: list[Member], backend: str) -> None:
        self.members, self.backend, self.precision = members, backend, members[0].spec.precision
        self.device = next(members[0].network.parameters()).device
        self.module = stack([m.network for m in members], BACKENDS[backend].convolve).train()
        self.forward = compiled(self.module) if BACKENDS[backend].compiled else self.module
        momenta = [self._momentum(name) for name, _ in self.module.named_parameters()]
        self.optimizer = StackedSGD(self.module, [m.spec for m in members], momenta)
        self.sources, self.source = self._images()
        self.labels = torch.stack([m.examples.train_y for m in members])  # [P, N]
        self.same_images = see_the_same_images(members)
        self.black = members[0].examples.black
        count = len(members[0].examples.train_y)
        self.order = torch.zeros(len(members), count, dtype=torch.int64, device=self.device)
        self.crops = torch.zeros(3, len(members), count, dtype=torch.int64, device=self.device)
        self.cursor = torch.zeros(1, dtype=torch.int64, device=self.device)
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}  # by batch size
        self.pool: torch.cuda._POOL_HANDLE | None = None  # the memory of the graphs

    def train_epoch(self, active: list[bool]) -> None:
        """Train for one epoch; networks that are not active keep their weights and statistics."""
        self._prepare(active)
        for start, end in batch_bounds(self.order.shape[1], self.members[0].spec.batch_size):
            self._run(end - start)
        for member, is_active in zip(self.members, active, strict=True):
            if is_active:
                member.epoch += 1
                member.note_engine(self.backend)

    def outputs(self) -> list[Outputs]:
        """The logits of every network, in eval mode and in float32, then float64; see ``networks.measure.logits``."""
        train, test = (self._logits([getattr(m.examples, name) for m in self.members]) for name in ("train_x", "test_x"))
        return [Outputs(*both) for both in zip(train, test, strict=True)]

    def _logits(self, images: list[torch.Tensor]) -> torch.Tensor:
        """[P, N, classes] of the images of each network, [N, H, W, C] each; images that all share are taken once."""
        networks = len(images)
        shared = len({i.data_ptr() for i in images}) == 1
        size = max(1, EVALUATED_AT_ONCE // networks)
        parts = []
        self.module.eval()
        try:
            with torch.no_grad(), arithmetic("fp32"):
                for start in range(0, len(images[0]), size):
                    x = torch.stack([i[start : start + size] for i in (images[:1] if shared else images)])
                    x = x.permute(0, 1, 4, 2, 3).expand(networks, -1, -1, -1, -1)
                    parts.append(self.module(x).double())
        finally:
            self.module.train()
        return torch.cat(parts, dim=1)

    def share(self) -> None:
        """Make the members' weights, statistics and momenta views of the stack's."""
        share(self.module, [m.network for m in self.members])
        for (name, _), buffer in zip(self.module.named_parameters(), self.optimizer.momenta, strict=True):
            for k, member in enumerate(self.members):
                parameter = member.network.get_parameter(name)
                member.optimizer.state[parameter]["momentum_buffer"] = buffer[k]

    def time_steps(self, count: int, size: int) -> None:
        """Run steps on the first examples and wait for the device. For timing only: this changes the weights."""
        for _ in range(count):
            self.cursor.zero_()
            self._run(size)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _prepare(self, active: list[bool]) -> None:
        """Copy the epoch's learning rates, batch order and crops to the device; nothing else is copied in an epoch."""
        specs, count = [m.spec for m in self.members], self.order.shape[1]
        epoch = next(m.epoch for m, is_active in zip(self.members, active, strict=True) if is_active)
        drawing = specs[:1] if self.same_images else specs
        orders = np.stack([batch_order(s, epoch, count) for s in drawing])
        if specs[0].augment == "crop_flip":
            crops = np.stack([crop_draws(s, epoch, count) for s in drawing], axis=1)
            self.crops[:, : len(drawing)].copy_(torch.from_numpy(crops))
        self.order[: len(drawing)].copy_(torch.from_numpy(orders))
        self.optimizer.set_rates([learning_rate(s, epoch) * a for s, a in zip(specs, active, strict=True)])
        for module in self.module.modules():
            if isinstance(module, StackedBatchNorm):
                module.active.copy_(torch.tensor(active))
        self.cursor.zero_()

    def _run(self, size: int) -> None:
        if self.device.type != "cuda":
            with arithmetic(self.precision):
                self._step(size)
            return
        if size not in self.graphs:
            self.graphs[size] = self._capture(size)
        self.graphs[size].replay()

    def _capture(self, size: int) -> torch.cuda.CUDAGraph:
        """Record one step as a graph, after warm-up steps whose changes are undone.

        Both run on the same stream: autograd remembers the stream of the warm-up, and another one would break the capture.
        The graphs of all batch sizes share their memory, since no two of them run at once.
        """
        here, side, graph = torch.cuda.current_stream(), capture_stream(self.device), torch.cuda.CUDAGraph()
        self.pool = self.pool or torch.cuda.graph_pool_handle()
        fixed = torch.are_deterministic_algorithms_enabled()
        # cuDNN times its algorithms in the warm-up, unless it must choose one with fixed bits
        with self._undone(), arithmetic(self.precision, benchmark=not fixed, deterministic=fixed):
            side.wait_stream(here)
            with torch.cuda.stream(side):
                self._warm_up(size)
            with torch.cuda.graph(graph, pool=self.pool, stream=side), joined_streams(self.device):
                self._step(size)
            here.wait_stream(side)
        return graph

    def _warm_up(self, size: int) -> None:
        for _ in range(WARM_UP):
            self.cursor.zero_()  # the first examples always exist
            self._step(size)

    @contextmanager
    def _undone(self) -> Iterator[None]:
        """Restore everything that steps within the block have changed."""
        state = [*self.optimizer.state, *self.module.buffers(), self.cursor]
        kept = [t.clone() for t in state]
        yield
        for tensor, before in zip(state, kept, strict=True):
            tensor.copy_(before)

    def _step(self, size: int) -> None:
        """One step of SGD of all networks on their next ``size`` examples, without waiting for the device."""
        x, y = self._batch(size)
        loss = nn.functional.cross_entropy(self.forward(x).flatten(0, 1), y.flatten(), reduction="sum") / size
        with torch.no_grad():
            self.optimizer.step(loss)
            self.cursor += size

    def _batch(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images [P, B, C, H, W] and labels [P, B], gathered on the device.

        The images that all networks see are gathered once: their first axis then has stride 0.
        """
        networks = len(self.members)
        drawn = 1 if self.same_images else networks
        at = (self.cursor + torch.arange(size, device=self.device)).expand(drawn, -1)
        index = self.order[:drawn].gather(1, at)
        x = self.sources[self.source[:drawn, None], index]  # [P, B, H, W, C]
        if self.members[0].spec.augment == "crop_flip":
            x = crop_flip(x, self.black, *(crop[:drawn].gather(1, at) for crop in self.crops))
        labels = self.labels.gather(1, index.expand(networks, -1))
        return x.permute(0, 1, 4, 2, 3).expand(networks, -1, -1, -1, -1), labels

    def _images(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The different sets of training images [S, N, H, W, C], and the index of each network's set [P]."""
        found: dict[int, int] = {}
        images: list[torch.Tensor] = []
        source: list[int] = []
        for member in self.members:
            key = member.examples.train_x.data_ptr()
            if key not in found:
                found[key] = len(images)
                images.append(member.examples.train_x)
            source.append(found[key])
        stacked = images[0][None] if len(images) == 1 else torch.stack(images)
        return stacked, torch.tensor(source, device=self.device)

    def _momentum(self, name: str) -> torch.Tensor:
        """The momentum buffers of one parameter from the members' optimizers [P, ...]; zeros if there are none yet."""
        buffers = []
        for member in self.members:
            parameter = member.network.get_parameter(name)
            buffer = (
                member.optimizer.state[parameter].get("momentum_buffer") if parameter in member.optimizer.state else None
            )
            buffers.append(torch.zeros_like(parameter) if buffer is None else buffer)
        return torch.stack([b.detach().contiguous() for b in buffers])


class StackedEngine:
    """Trains members of the same shape as one stack; see ``members.Engine``.

    Args:
        backend: how convolutions are computed, a key of ``backends.BACKENDS``.
    """

    def __init__(self, backend: str = "grouped") -> None:
        self.backend = backend
        self._stacks: list[Stack] = []
        self._alone = LoopEngine()  # for networks of the user's, whose layers have no stacked form

    def train_epoch(self, members: list[Member]) -> None:
        """Advance every member by one epoch."""
        own, members = _own_and_others(members)
        self._alone.train_epoch(own)
        running = {id(member) for member in members}
        # a stack most of whose networks have finished would compute for nobody: those that are left become a new one
        self._stacks = [s for s in self._stacks if sum(id(m) in running for m in s.members) > len(s.members) * SHRINK]
        self._stack_new_ones(members)
        for s in self._stacks:
            s.train_epoch([id(member) in running for member in s.members])

    def outputs(self, members: list[Member]) -> Iterator[tuple[Member, Outputs]]:
        """Each member, by stacks, with the logits of its training and test images."""
        own, members = _own_and_others(members)
        yield from self._alone.outputs(own)
        self._stack_new_ones(members)
        wanted = {id(member) for member in members}
        for s in self._stacks:
            if wanted & {id(m) for m in s.members}:
                yield from (pair for pair in zip(s.members, s.outputs(), strict=True) if id(pair[0]) in wanted)

    def _stack_new_ones(self, members: list[Member]) -> None:
        known = {id(m) for s in self._stacks for m in s.members}
        fresh: dict[tuple, list[Member]] = {}
        for member in members:
            if id(member) not in known:
                fresh.setdefault((stackable(member), member.epoch), []).append(member)
        for together in fresh.values():
            self._stacks.append(self.new_stack(together))
            self._stacks[-1].share()

    def new_stack(self, members: list[Member]) -> Stack:
        """The members as a stack."""
        return Stack(members, self.backend)


def _own_and_others(members: list[Member]) -> tuple[list[Member], list[Member]]:
    own = [m for m in members if is_own(m.spec.architecture.builder)]
    return own, [m for m in members if not is_own(m.spec.architecture.builder)]
