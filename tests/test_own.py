"""A network of one's own: what the pipeline computes of it, what enters its hash, what is refused."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT, small_spec
from workspace import RUN, Workspace, fresh

from puzzles.base.errors import ArchitectureError, ConfigError
from puzzles.config.configuration import load_config_files
from puzzles.config.expand import expand
from puzzles.config.own_code import own_architecture, with_argument
from puzzles.config.specs import Architecture, NetworkSpec, Select, as_dict
from puzzles.data.dataset import Dataset
from puzzles.data.preparation import Preparation
from puzzles.networks.architectures import build, initialize, num_parameters
from puzzles.networks.measure import measurements
from puzzles.networks.norms import layer_norms
from puzzles.networks.own import check_experiment
from puzzles.training import cache
from puzzles.training.population import Population
from puzzles.training.stacked_engine import StackedEngine

NETS = ROOT / "tests/own_nets.py"


def architecture(function: str, **arguments: object) -> Architecture:
    settings = {"builder": f"own_nets:{function}", "path": str(NETS)}
    return own_architecture("architectures.mine", settings | ({"arguments": arguments} if arguments else {}))


def trained(digits: Dataset, specs: list[NetworkSpec], population: int = 8) -> dict[str, cache.Entry]:
    done: dict[str, cache.Entry] = {}
    Population(digits, {}, 1e9).train([(s, [Select("last")]) for s in specs], lambda s, e: done.update({s.hash: e}))
    return done


def test_the_same_layers_as_ours_give_the_same_training_and_measurements(digits: Dataset) -> None:
    """With the weights of one of ours: losses, norms and rho at every epoch and in every column that both have."""
    examples = Preparation(digits).examples(small_spec())
    x0 = examples.train_x[0]
    ours = build(Architecture("conv", (4, 4), 3, bias="first"), examples.input_shape, 10)
    initialize(ours, small_spec())
    own = build(architecture("like_ours"), examples.input_shape, 10)
    for (_, theirs), mine in zip(ours.named_parameters(), own.parameters(), strict=True):
        mine.data.copy_(theirs.data)
    for norm in ("l2", "l1", "linf", "spectral", "output"):
        ((expected,), _) = measurements(ours, examples, (norm,), x0)
        ((found,), _) = measurements(own, examples, (norm,), x0)
        assert found.keys() == expected.keys()
        empty = {k for k, v in found.items() if isinstance(v, float) and math.isnan(v)}
        for column in found.keys() - empty - {"norm"}:
            assert found[column] == pytest.approx(expected[column], rel=1e-6), column
        assert empty <= {"path_norm", "sum_of_squares", "changed_layerwise", "layers_difference"}


def test_what_is_not_the_product_of_its_layers_is_divided_by_its_output_norm(digits: Dataset) -> None:
    spec = small_spec(architecture=architecture("residual"), epochs=2)
    (entry,) = trained(digits, [spec]).values()
    preparation = Preparation(digits)
    examples, x0 = preparation.examples(spec), preparation.reference_image(spec)
    network = build(spec.architecture, examples.input_shape, 10)
    network.load_state_dict(entry.snapshots["last"])
    with torch.no_grad():
        norm = float(torch.linalg.vector_norm(network(x0.permute(2, 0, 1)[None]).double()))
    assert entry.history[-1]["rho"] == pytest.approx(norm)
    with pytest.raises(ArchitectureError, match="joins what depends on this layer with what does not"):
        layer_norms(network)


def test_batch_norm_is_folded_wherever_rho_is_computed(digits: Dataset) -> None:
    spec = small_spec(architecture=architecture("plain", width=3), epochs=2)
    (entry,) = trained(digits, [spec]).values()
    state = entry.snapshots["last"]
    convolution, scale = state["network.0.weight"].double(), state["network.1.weight"].double()
    folded = convolution * (scale / (state["network.1.running_var"].double() + 1e-5).sqrt())[:, None, None, None]
    expected = float(torch.linalg.vector_norm(folded) * torch.linalg.vector_norm(state["network.4.weight"].double()))
    assert entry.history[-1]["rho"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("function", ["plain", "residual"])
def test_a_network_does_not_know_its_neighbours_nor_when_it_was_interrupted(
    digits: Dataset, workdir: Path, function: str
) -> None:
    specs = [small_spec(architecture=architecture(function), seed=seed, epochs=3) for seed in range(3)]
    together = trained(digits, specs)
    for spec in specs:
        (alone,) = trained(digits, [spec]).values()
        assert alone.history == together[spec.hash].history
    assert together[specs[0].hash].history != together[specs[1].hash].history  # each seed draws weights of its own

    def stop(members: list) -> None:
        if members[0].epoch == 2:
            raise KeyboardInterrupt

    population = Population(digits, {}, checkpoint_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        population.train([(s, [Select("last")]) for s in specs], lambda s, e: None, stop)
    resumed = trained(digits, specs)
    assert all(resumed[key].history == entry.history for key, entry in together.items())


def test_in_a_stack_of_others_they_train_one_after_the_other(digits: Dataset, device: torch.device) -> None:
    """As on a GPU: the same losses as on their own, and the others are stacked."""
    own = small_spec(architecture=architecture("plain"), epochs=2)
    done: dict[str, cache.Entry] = {}
    population = Population(digits, {}, 1e9, device)
    population.engine = StackedEngine("grouped")
    requests = [(s, [Select("last")]) for s in (own, small_spec(epochs=2), small_spec(epochs=2, seed=1))]
    population.train(requests, lambda s, e: done.update({s.hash: e}))
    (alone,) = trained(digits, [own]).values()
    for found, expected in zip(done[own.hash].history, alone.history, strict=True):
        assert found["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-5)
    assert {entry.engines[0].split()[0] for entry in done.values()} == {"loop", "grouped"}


def test_initial_weights_follow_the_spec(digits: Dataset) -> None:
    spec = small_spec(architecture=architecture("plain", width=16))
    before = torch.random.get_rng_state()
    networks = [build(spec.architecture, (1, 8, 8), 10) for _ in range(4)]
    for network, changes in zip(
        networks, ({}, {}, {"seed": 1}, {"init": "gaussian", "init_std": 0.1, "init_bias": "zero"}), strict=True
    ):
        initialize(network, replace(spec, **changes))
    assert torch.equal(torch.random.get_rng_state(), before)
    first, again, other, gaussian = (network.network[0].weight for network in networks)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(gaussian.detach().std()) == pytest.approx(0.1, rel=0.2)
    assert not networks[3].network[0].bias.any()
    assert num_parameters(networks[0]) == sum(p.numel() for p in networks[0].network.parameters())


def test_the_source_is_part_of_the_hash_its_place_and_comments_are_not(tmp_path: Path) -> None:
    def hash_of(text: str, folder: str, **settings: object) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "nets.py").write_text(text)
        (tmp_path / folder / "helper.py").write_text("WIDTH = 3\n")
        own = own_architecture("a", {"builder": "nets:net", "path": str(tmp_path / folder / "nets.py"), **settings})
        assert "path" not in as_dict(own)
        return NetworkSpec("digits", own).hash

    code = "from helper import WIDTH\ndef net(input_shape, num_classes):\n    return WIDTH\n"
    first = hash_of(code, "a")
    assert hash_of(code, "b") == first
    assert hash_of(code.replace("    return WIDTH", "    '''Docs.'''\n    return WIDTH  # why"), "c") == first
    assert hash_of(code.replace("return WIDTH", "return WIDTH + 1"), "d") != first
    assert hash_of(code, "e", arguments={"width": 3}) != first
    (tmp_path / "f").mkdir()
    (tmp_path / "f/nets.py").write_text(code)
    (tmp_path / "f/helper.py").write_text("WIDTH = 4\n")
    helped = own_architecture("a", {"builder": "nets:net", "path": str(tmp_path / "f/nets.py")})
    assert NetworkSpec("digits", helped).hash != first


def test_an_installed_module_is_found_without_importing_it() -> None:
    own = own_architecture("a", {"builder": "torchvision.models:resnet18"})
    assert own.source and not own.path
    assert with_argument(own, "width", 3).arguments == '{"width": 3}'


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"builder": "nowhere:net"},
            "a.builder: found no code of 'nowhere:net', expected a file nowhere.py beside the overlay",
        ),
        ({"builder": "own_nets:net", "path": str(NETS)}, "a.builder: found no function net in"),
        ({"builder": "own_nets:plain", "path": "gone.py"}, "found no code of 'own_nets:plain', expected gone.py"),
        ({"builder": "own_nets:plain", "path": str(NETS), "widths": [3]}, "a.widths: found it with builder own_nets:plain"),
        ({"builder": "README:plain", "path": str(ROOT / "README.md")}, "found no Python in"),
    ],
)
def test_what_cannot_be_found_is_said_before_anything_runs(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        own_architecture("a", settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("dropout", "own_nets:dropout: found two different outputs for the same images in training mode"),
        ("wrong_classes", r"own_nets:wrong_classes: found outputs \[4, 11\], expected logits \[4, 10\]"),
        ("no_module", "own_nets:no_module: returned a str, expected a torch.nn.Module"),
        ("fails", r"own_nets:fails: called with .*: KeyError in own_nets.py, line \d+: 'width'"),
    ],
)
def test_what_is_no_network_is_one_line(function: str, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        build(architecture(function), (1, 8, 8), 10)


def test_norms_that_mean_nothing_are_refused_before_training(digits: Dataset, raw: dict) -> None:
    raw["architectures"]["mine"] = {"builder": "own_nets:residual", "path": str(NETS)}
    raw["experiments"]["width"]["network"] |= {"architecture": "mine", "dataset": "digits", "train_size": 100}
    raw["experiments"]["width"]["sweep"] = {"axis": "lr", "values": [0.01, 0.02]}
    with pytest.raises(
        ArchitectureError, match=r"experiments.width.norms: found l2, .*expected \[output\]: .*shortcut|joins"
    ):
        check_experiment(expand("width", raw), digits)
    raw["experiments"]["width"]["norms"] = ["output"]
    check_experiment(expand("width", raw), digits)


@pytest.fixture
def mine(tmp_path: Path) -> Workspace:
    workspace = fresh(tmp_path / "project")
    shutil.copy(NETS, workspace.folder / "own_nets.py")
    overlay = workspace.overlay()
    overlay["run"]["experiments"] = ["init_3layer"]
    overlay["architectures"]["mine"] = {"builder": "own_nets:plain"}
    experiment = overlay["experiments"]["init_3layer"]
    experiment["network"] |= {"architecture": "mine", "stop": "epochs", "epochs": 3, "max_epochs": None, "init": None}
    experiment["network"]["init_std"] = None
    experiment["sweep"] = {"axis": "width", "values": [2, 4, 8]}
    experiment["groups"] = {"natural": {}, "large_std": None, "random_labels": None}
    workspace.write(overlay)
    return workspace


def test_through_the_whole_pipeline_and_again_after_a_change(mine: Workspace) -> None:
    """A file beside the overlay; a sweep of an argument; a change of its code trains again, a comment does not."""
    mine.snakemake("fig02")
    assert (mine.folder / RUN / "figures/fig02.png").stat().st_size > 0
    before = mine.networks()
    assert len(before) == 3
    code = mine.folder / "own_nets.py"
    code.write_text(
        code.read_text().replace(
            "return nn.Sequential(\n        nn.Conv2d(channels, width",
            "# a comment\n    return nn.Sequential(\n        nn.Conv2d(channels, width",
        )
    )
    assert "train" not in mine.planned("fig02")
    code.write_text(code.read_text().replace("width: int = 6", "width: int = 5"))
    assert mine.planned("fig02")["train"] == 1


def test_the_template_works_as_it_stands(digits: Dataset) -> None:
    """``make own``: the builder beside the overlay is found; both experiments can be trained; figures need nothing else."""
    config = load_config_files(ROOT / "config.yaml", ROOT / "workflow/runs/own.yaml")
    assert list(config.experiments) == ["own_pretraining", "own_widths"]
    assert {"fig21", "fig22"} <= set(config.figures)
    for experiment in config.experiments.values():
        check_experiment(experiment, digits)
    widths = {
        build(n.spec.architecture, (1, 8, 8), 10).network[0].out_channels for n in config.experiments["own_widths"].networks
    }
    assert widths == {2, 4, 8, 16, 32}
