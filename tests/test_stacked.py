"""Networks that step together equal networks that step alone, whatever computes their convolutions."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import SMALL, small_spec
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from puzzles.config.specs import Architecture, NetworkSpec, Select
from puzzles.data.batches import batches
from puzzles.data.dataset import Dataset
from puzzles.data.preparation import Examples, Preparation
from puzzles.networks import transfer
from puzzles.networks.architectures import build, initialize
from puzzles.networks.evaluation import Evaluated, history_rows
from puzzles.training import cache, fastest_backend, stacked_engine
from puzzles.training.backends import BACKENDS
from puzzles.training.members import Engine, Member
from puzzles.training.population import LoopEngine, Population
from puzzles.training.stacked_engine import Stack, StackedEngine
from puzzles.training.stacked_layers import share, stack

ARCHITECTURES = {
    "3 layers, 64 filters, stride 2": Architecture("conv", (64, 64), 5, 2, 2, "none"),
    "24 filters, valid": Architecture("conv", (24, 24), 5, bias="first"),
    "34 filters, valid": Architecture("conv", (34, 34), 5, bias="first"),
    "five layers, batch norm": Architecture("five_layer", (32, 64, 64, 128), batch_norm=True),
    "residual, crop and flip": Architecture("resnet", depth=8),
}
CONVOLUTIONS = [name for name, backend in BACKENDS.items() if not backend.compiled]
ABSOLUTE = 1e-8  # tensors whose gradient is smaller (biases before batch norm) are compared absolutely


def networks(architecture: Architecture, examples: Examples, count: int = 3) -> list[nn.Module]:
    built = [build(architecture, examples.input_shape, 10) for _ in range(count)]
    for seed, network in enumerate(built):
        initialize(network, small_spec(seed=seed))
        network.to(examples.train_x.device).double().train()
    return built


def step_alone(network: nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients and buffers of one network after one step."""
    network.zero_grad()
    nn.functional.cross_entropy(network(x), y).backward()
    return {name: p.grad for name, p in network.named_parameters()} | dict(network.named_buffers())


def step_together(
    stacked: nn.Module, x: torch.Tensor, y: torch.Tensor, forward: Callable | None = None
) -> dict[str, torch.Tensor]:
    """The same of a stack, [P, ...], computed by ``forward`` if it is given."""
    (
        nn.functional.cross_entropy((forward or stacked)(x).flatten(0, 1), y.flatten(), reduction="sum") / y.shape[1]
    ).backward()
    return {name: p.grad for name, p in stacked.named_parameters()} | dict(stacked.named_buffers())


def batch(
    digits: Dataset, spec: NetworkSpec, count: int, device: torch.device
) -> tuple[Examples, torch.Tensor, torch.Tensor]:
    """Another batch for each of ``count`` networks: images [P, B, C, H, W] and labels [P, B]."""
    preparation = Preparation(digits, device)
    pairs = [
        next(iter(batches(preparation.examples(spec), small_spec(seed=seed, augment=spec.augment), 0)))
        for seed in range(count)
    ]
    x = torch.stack([images for images, _ in pairs]).permute(0, 1, 4, 2, 3)
    return preparation.examples(spec), x, torch.stack([labels for _, labels in pairs])


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("backend", CONVOLUTIONS)
def test_one_step_in_float64_equals_the_plain_loop(digits: Dataset, device: torch.device, name: str, backend: str) -> None:
    spec = small_spec(image_size=12, augment="crop_flip" if "crop" in name else "none")
    examples, x, y = batch(digits, spec, 3, device)
    alone = networks(ARCHITECTURES[name], examples)
    ours = step_together(stack(alone, BACKENDS[backend].convolve), x.double(), y)
    assert_equal(ours, alone, x, y)


@pytest.mark.skipif(
    shutil.which("g++") is None, reason="no g++ here (Debian package g++): with it, torch.compile builds these steps"
)
@pytest.mark.parametrize("name", ["34 filters, valid", "five layers, batch norm"])
def test_a_compiled_step_in_float64_equals_the_plain_loop(digits: Dataset, device: torch.device, name: str) -> None:
    examples, x, y = batch(digits, small_spec(image_size=12), 2, device)
    alone = networks(ARCHITECTURES[name], examples, 2)
    stacked = stack(alone, BACKENDS["compiled"].convolve)
    ours = step_together(stacked, x.double(), y, torch.compile(stacked, fullgraph=True))
    assert_equal(ours, alone, x, y)


def assert_equal(ours: dict[str, torch.Tensor], alone: list[nn.Module], x: torch.Tensor, y: torch.Tensor) -> None:
    """Every gradient and buffer of one step is that of the networks alone, to the rounding of float64."""
    for k, network in enumerate(alone):
        for tensor, expected in step_alone(network, x[k].double(), y[k]).items():
            found, size = ours[tensor][k], float(expected.double().norm())
            error = float((found.double() - expected.double()).norm())
            assert error <= (1e-12 * size if size > ABSOLUTE else ABSOLUTE), f"{tensor}: {error / max(size, 1e-300):.1e}"


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("backend", CONVOLUTIONS)
def test_one_step_in_float32_is_as_exact_as_the_plain_loop(
    digits: Dataset, device: torch.device, name: str, backend: str
) -> None:
    """To 2e-5 of float64, and at most five times further from it than the plain float32 loop is, plus float32's own grain.

    On batches in which every ReLU's input is further from zero than rounding can move it: a single ReLU that flips, as one
    of the residual network's does on an H100, changes a gradient by 0.4 %.
    """
    examples = Preparation(digits, device).examples(small_spec(image_size=9))
    exact = networks(ARCHITECTURES[name], examples, 2)
    pairs = [batch_far_from_zero(network, examples) for network in exact]
    x, y = (torch.stack(part) for part in zip(*pairs, strict=True))
    plain = [network.float() for network in networks(ARCHITECTURES[name], examples, 2)]
    ours = step_together(stack(plain, BACKENDS[backend].convolve), x, y)
    for k in range(2):
        truth, theirs = step_alone(exact[k], x[k].double(), y[k]), step_alone(plain[k], x[k], y[k])
        for tensor, expected in truth.items():
            size = float(expected.double().norm())
            if size > ABSOLUTE:
                error, allowed = (
                    float((t.double() - expected.double()).norm()) / size for t in (ours[tensor][k], theirs[tensor])
                )
                assert error <= min(5 * allowed + 1e-6, 2e-5), f"{tensor}: {error:.1e} against {allowed:.1e}"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_stack_is_on_the_device_of_its_networks(digits: Dataset, name: str) -> None:
    """All of it, so that a step mixes no devices; torch's device ``meta`` computes shapes only and stands for a GPU here."""
    examples = Preparation(digits, "cpu").examples(small_spec(image_size=12))
    alone = [network.to("meta") for network in networks(ARCHITECTURES[name], examples)]
    stacked = stack(alone, BACKENDS["grouped"].convolve)
    assert {tensor.device.type for tensor in (*stacked.parameters(), *stacked.buffers())} == {"meta"}
    x = torch.zeros(3, 2, *examples.input_shape, dtype=torch.float64, device="meta")
    assert stacked(x).shape == (3, 2, 10)


def batch_far_from_zero(network: nn.Module, examples: Examples, distance: float = 1e-4) -> tuple[torch.Tensor, torch.Tensor]:
    """The first few images with which no ReLU's input is nearer to zero, [B, C, H, W], and their labels."""
    nearest: list[float] = []
    hooks = [
        m.register_forward_pre_hook(lambda _, inputs: nearest.append(float(inputs[0].abs().min())))
        for m in network.modules()
        if isinstance(m, nn.ReLU)
    ]
    buffers = {name: t.clone() for name, t in network.named_buffers()}
    for start in range(0, len(examples.train_x) - 3, 3):
        x, y = examples.train_x[start : start + 3].permute(0, 3, 1, 2), examples.train_y[start : start + 3]
        nearest.clear()
        with torch.no_grad():
            network(x.double())
        if min(nearest) > distance:
            for hook in hooks:
                hook.remove()
            network.load_state_dict(buffers, strict=False)
            return x, y
    raise AssertionError("no such batch")


def test_a_step_of_the_papers_residual_network_equals_the_plain_loop(digits: Dataset, device: torch.device) -> None:
    """All 56 layers, with crops and flips."""
    examples, x, y = batch(digits, small_spec(image_size=12, augment="crop_flip", batch_size=8), 2, device)
    alone = networks(Architecture("resnet", depth=56), examples, 2)
    assert_equal(step_together(stack(alone, BACKENDS["aligned"].convolve), x.double(), y), alone, x, y)


@pytest.mark.parametrize(
    "architecture", [SMALL, Architecture("five_layer", (4, 4, 4, 8), batch_norm=True)], ids=["plain", "bn"]
)
@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_whole_trainings_agree_with_the_loop(
    digits: Dataset, workdir: Path, device: torch.device, architecture: Architecture, augment: str
) -> None:
    """Different learning rates, momenta, weight decays, labels and lengths in one stack; one network ends early."""
    base = small_spec(architecture=architecture, augment=augment, train_size=101, batch_size=25, epochs=3)
    specs = [
        base,
        small_spec(
            architecture=architecture, augment=augment, train_size=101, batch_size=25, epochs=2, seed=1, momentum=0.5
        ),
        small_spec(architecture=architecture, augment=augment, train_size=101, batch_size=25, seed=2, weight_decay=0.01),
        small_spec(
            architecture=architecture, augment=augment, train_size=101, batch_size=25, labels="random", lr_milestones=(1,)
        ),
        small_spec(architecture=architecture, augment=augment, train_size=101, batch_size=17),  # another stack
    ]
    alone, together = (trained(digits, specs, engine, device) for engine in (LoopEngine(), StackedEngine("loop")))
    assert_same_histories(together, alone)


@pytest.mark.parametrize("backend", CONVOLUTIONS)
def test_networks_that_see_the_same_images_equal_the_loop(
    digits: Dataset, workdir: Path, device: torch.device, backend: str
) -> None:
    """The sweeps of initial weights: one seed, so one batch for all, which the first layer takes in one convolution."""
    base = {"augment": "crop_flip", "train_size": 101, "batch_size": 25, "epochs": 3, "init": "gaussian"}
    specs = [
        small_spec(**base, init_std=0.1),
        small_spec(**base, init_std=0.2, stop="until_zero_train_error", max_epochs=5),
        small_spec(**base, init_std=0.3, labels="random", lr=0.02),
    ]
    alone, together = (trained(digits, specs, engine, device) for engine in (LoopEngine(), StackedEngine(backend)))
    assert_same_histories(together, alone)


def assert_same_histories(found: dict[str, cache.Entry], expected: dict[str, cache.Entry]) -> None:
    """The same networks, evaluated at the same epochs, with the same losses and norms to what float32 allows."""
    assert set(found) == set(expected)
    for key, entry in expected.items():
        assert [row["epoch"] for row in found[key].history] == [row["epoch"] for row in entry.history]
        for ours, theirs in zip(found[key].history, entry.history, strict=True):
            assert [ours["train_loss"], ours["rho"]] == pytest.approx([theirs["train_loss"], theirs["rho"]], rel=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_step_on_the_same_images_in_float64_equals_the_plain_loop(
    digits: Dataset, device: torch.device, name: str
) -> None:
    examples, x, y = batch(digits, small_spec(image_size=12), 3, device)
    alone, x = networks(ARCHITECTURES[name], examples), x[:1].double().expand(3, -1, -1, -1, -1)
    assert_equal(step_together(stack(alone, BACKENDS["grouped"].convolve), x, y), alone, x, y)


def trained(
    digits: Dataset, specs: list[NetworkSpec], engine: Engine, device: torch.device, **options: object
) -> dict[str, cache.Entry]:
    done: dict[str, cache.Entry] = {}
    population = Population(digits, {}, options.get("checkpoint_seconds", 1e9), device)
    population.engine = engine
    population.train(
        [(spec, [Select("last")]) for spec in specs],
        lambda spec, entry: done.update({spec.hash: entry}),
        options.get("on_epoch", lambda members: None),
    )
    return done


def test_a_stack_that_is_killed_goes_on_with_its_momentum(digits: Dataset, workdir: Path, device: torch.device) -> None:
    specs = [small_spec(seed=seed, epochs=4) for seed in range(3)]
    whole = trained(digits, specs, StackedEngine("grouped"), device)

    def stop(members: list) -> None:
        if members[0].epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(digits, specs, StackedEngine("grouped"), device, checkpoint_seconds=0, on_epoch=stop)
    resumed = trained(digits, specs, StackedEngine("grouped"), device)
    assert_same_histories(resumed, whole)
    if device.type == "cpu":  # a GPU may choose another algorithm when it records its steps again
        assert all(resumed[key].history == entry.history for key, entry in whole.items())


def test_a_network_that_diverges_disturbs_no_other(digits: Dataset, workdir: Path, device: torch.device) -> None:
    calm, wild = small_spec(seed=0), small_spec(seed=1, lr=1e30)
    together = trained(digits, [calm, wild], StackedEngine("grouped"), device)
    alone = trained(digits, [calm], StackedEngine("grouped"), device)
    assert not math.isfinite(together.pop(wild.hash).history[-1]["train_loss"])
    assert_same_histories(together, alone)


def test_a_stack_shrinks_when_most_of_its_networks_have_finished(
    digits: Dataset, workdir: Path, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The results stay those of the loop, momenta and batch-norm statistics included."""
    batch_norm = Architecture("five_layer", (4, 4, 4, 8), batch_norm=True)
    base = small_spec(architecture=batch_norm, train_size=101, batch_size=25, lr=0.01)
    specs = [replace(base, seed=seed, epochs=epochs) for seed, epochs in enumerate((1, 2, 2, 4, 5))]
    stacks: list[int] = []
    original = StackedEngine.new_stack

    def spy(self: StackedEngine, members: list[Member]) -> Stack:
        stacks.append(len(members))
        return original(self, members)

    monkeypatch.setattr(StackedEngine, "new_stack", spy)
    alone, together = (trained(digits, specs, engine, device) for engine in (LoopEngine(), StackedEngine()))
    assert stacks == [5, 2, 1]
    assert_same_histories(together, alone)


def test_networks_share_what_the_stack_holds(digits: Dataset) -> None:
    examples = Preparation(digits).examples(small_spec(image_size=12))
    for architecture in ARCHITECTURES.values():
        alone = networks(architecture, examples)
        before = [{name: t.clone() for name, t in network.state_dict().items()} for network in alone]
        stacked = stack(alone, BACKENDS["grouped"].convolve)
        share(stacked, alone)
        for state, network in zip(before, alone, strict=True):
            assert all(torch.equal(state[name], t) for name, t in network.state_dict().items())
        with torch.no_grad():
            for tensor in (*stacked.parameters(), *stacked.buffers()):
                tensor.copy_(torch.arange(3).view([3, *[1] * (tensor.dim() - 1)]))
        for k, network in enumerate(alone):
            assert all(torch.all(t == k) for t in network.state_dict().values())


def test_the_fastest_backend_is_measured_once_and_remembered(
    digits: Dataset, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    seconds = {"loop": 3.0, "streams": 4.0, "aligned": 5.0, "grouped": 1.0, "unfold": 2.0, "compiled": math.inf}
    assert list(seconds) == list(BACKENDS)
    monkeypatch.setattr(fastest_backend, "step_seconds", lambda _, name: asked.append(name) or seconds[name])
    engine = fastest_backend.MeasuredEngine()
    assert engine.new_stack(members(digits, 2)).backend == "grouped"
    assert engine.new_stack(members(digits, 2)).backend == "grouped"
    assert asked == CONVOLUTIONS  # an epoch of a small network: compiling would take longer than all of it
    monkeypatch.setattr(fastest_backend, "COMPILING_PAYS", 2.0)
    engine.new_stack(members(digits, 3))
    assert asked == [*CONVOLUTIONS, *BACKENDS]  # another number of networks


@pytest.mark.parametrize("backend", CONVOLUTIONS)
def test_every_backend_works_here(digits: Dataset, workdir: Path, device: torch.device, backend: str) -> None:
    assert math.isfinite(fastest_backend.step_seconds(members(digits, 2, device), backend))


def test_the_seconds_of_a_step_are_those_of_steps_after_the_first_few(
    digits: Dataset, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    seconds = [0.0]

    def run(self: Stack, size: int) -> None:
        seconds.append(seconds[-1] + (60.0 if len(sizes) < fastest_backend.WARM_UP else 0.25))
        sizes.append(size)

    monkeypatch.setattr(Stack, "_run", run)
    monkeypatch.setattr(fastest_backend, "time", SimpleNamespace(perf_counter=lambda: seconds[-1]))
    assert fastest_backend.step_seconds(members(digits, 2), "grouped") == 0.25
    assert set(sizes) == {50}
    assert fastest_backend.step_seconds(members(digits, 2, train_size=20), "grouped") == 0.25
    assert set(sizes) == {50, 20}  # no batch is larger than the data


def test_when_no_backend_can_be_timed_none_is_remembered(
    digits: Dataset, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastest_backend, "step_seconds", lambda *_: math.inf)
    fastest_backend.MeasuredEngine().new_stack(members(digits, 2))  # what is wrong is said when it trains
    assert not fastest_backend._remembered()


def test_a_backend_that_does_not_work_here_is_not_chosen(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    torch.compiler.reset()
    assert fastest_backend.step_seconds(members(digits, 2), "compiled") == math.inf
    assert "backend compiled does not work here" in caplog.text


def test_timing_a_backend_changes_no_network(digits: Dataset, workdir: Path, device: torch.device) -> None:
    three = members(digits, 3, device)
    before = [{name: t.clone() for name, t in m.network.state_dict().items()} for m in three]
    fastest_backend.step_seconds(three, "unfold")
    for state, member in zip(before, three, strict=True):
        assert all(torch.equal(state[name], t) for name, t in member.network.state_dict().items())


def test_what_is_done_before_a_step_is_recorded_leaves_no_trace(
    digits: Dataset, workdir: Path, device: torch.device
) -> None:
    """Also at the end of an epoch, where the last, smaller batch is recorded and no examples are left."""
    architecture = Architecture("five_layer", (4, 4, 4, 8), batch_norm=True)
    together = Stack(members(digits, 2, device, architecture=architecture), "grouped")
    together.train_epoch([True, True])
    before = [t.clone() for t in (*together.module.parameters(), *together.module.buffers(), *together.optimizer.momenta)]
    with together._undone():
        together._warm_up(30)
        changed = [t.clone() for t in together.module.parameters()]
    after = [*together.module.parameters(), *together.module.buffers(), *together.optimizer.momenta]
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(changed, before, strict=False))
    assert int(together.cursor) == 300


@pytest.mark.skipif(
    not torch.cuda.is_available(),
    reason="no CUDA GPU here: with one, this test runs, and every test of the fixture `device` runs on it too",
)
def test_on_a_gpu_one_step_is_recorded_for_each_size_of_batch_and_replayed(digits: Dataset, workdir: Path) -> None:
    together = Stack(members(digits, 2, "cuda", train_size=120), "aligned")
    together.train_epoch([True, True])
    recorded = dict(together.graphs)
    assert set(recorded) == {50, 20}
    together.train_epoch([True, True])
    assert together.graphs == recorded
    assert [m.epoch for m in together.members] == [2, 2]


def members(digits: Dataset, count: int, device: torch.device | str = "cpu", **changes: object) -> list[Member]:
    population = Population(digits, {}, device=device)
    return [population._member(small_spec(seed=seed, **changes), [Select("last")]) for seed in range(count)]


class WaitsForTheDevice(TorchDispatchMode):
    """Counts the places where the CPU asks a device for a single number, and so waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_stack_is_evaluated_at_once_and_copied_once(
    digits: Dataset, device: torch.device, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the loop finds, with the statistics of each network's batch norm; chunks, subsets and images of their own too."""
    monkeypatch.setattr(stacked_engine, "EVALUATED_AT_ONCE", 700)
    copies: list[torch.Tensor] = []
    original = transfer._transferred
    monkeypatch.setattr(transfer, "_transferred", lambda t: copies.append(t) or original(t))
    for subset_seeds in ((0, 0, 0), (0, 1, 2)):
        specs = [
            small_spec(architecture=ARCHITECTURES[name], image_size=12, train_size=101, batch_size=25, seed=s, subset_seed=u)
            for s, u in enumerate(subset_seeds)
        ]
        population = Population(digits, {}, device=device)
        together = [population._member(spec, [Select("last")]) for spec in specs]
        engine = StackedEngine("grouped")
        for member in together:
            member.look_whether_dead = lambda: None  # asks for numbers of its own where a loss is ln C
        engine.train_epoch(together)  # running statistics that are no zeros and ones
        population.engine = engine
        copies.clear()
        with WaitsForTheDevice() as waits:
            population._evaluate(together)
        assert waits.count == 0
        assert len(copies) == 1
        alone = LoopEngine()
        for member in together:
            ((_, outputs),) = alone.outputs([member])
            x0 = population.preparation.reference_image(member.spec)
            (row,) = history_rows([Evaluated(member.network, member.examples, x0, outputs)])
            for column, value in row.items():
                assert member.history[-1][column] == pytest.approx(value, rel=2e-5, abs=1e-7), column
        assert all(module.training for module in engine._stacks[0].module.modules())


def test_a_checkpoint_of_a_stack_is_two_copies(
    digits: Dataset, workdir: Path, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of all weights, momenta and statistics, one of the batches that batch norm has counted."""
    batch_norm = Architecture("five_layer", (4, 4, 4, 8), batch_norm=True)
    specs = [small_spec(architecture=batch_norm, seed=seed) for seed in range(4)]
    population = Population(digits, {}, device=device)
    together = [population._member(spec, [Select("last")]) for spec in specs]
    population.engine = StackedEngine("grouped")
    population.engine.train_epoch(together)
    copies: list[torch.Tensor] = []
    original = transfer._transferred
    monkeypatch.setattr(transfer, "_transferred", lambda t: copies.append(t) or original(t))
    states = population._states(together)
    assert len(copies) == 2
    for member, state in zip(together, states, strict=True):
        for name, tensor in member.network.state_dict().items():
            assert torch.equal(state["network"][name], tensor.cpu())
            assert state["network"][name].untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        assert state["momentum"].keys() == dict(member.network.named_parameters()).keys()


def test_what_trained_a_network_is_noted_with_it(digits: Dataset, workdir: Path, device: torch.device) -> None:
    """Also where one engine has begun and another has ended."""
    spec = small_spec(epochs=3)

    def stop(members: list) -> None:
        if members[0].epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(digits, [spec], LoopEngine(), device, checkpoint_seconds=0, on_epoch=stop)
    done = trained(digits, [spec], StackedEngine("grouped"), device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    assert done[spec.hash].engines == [f"loop on {where}", f"grouped on {where}"]
    cache.store_entry(spec, done[spec.hash])
    assert cache.load_entry(spec, digits.digest).engines == done[spec.hash].engines
