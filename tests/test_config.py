"""The configuration: what the paper asks for, and one clear line for whatever is wrong."""

import copy
import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest
import yaml
from conftest import PUBLISHED, ROOT

from puzzles.base import paths
from puzzles.base.errors import ConfigError
from puzzles.config.checks import check_files
from puzzles.config.choices import note_other_configuration
from puzzles.config.configuration import Config, load_config, load_config_files
from puzzles.config.experiments import Network
from puzzles.config.specs import Architecture, NetworkSpec, batch_bounds

INIT = "experiments.init_3layer"
OURS = ["figL", "figM", "figR"]  # figures that the paper does not have


def set_at(raw: dict, path: str, value: object) -> None:
    *parents, last = path.split(".")
    for key in parents:
        raw = raw[int(key)] if isinstance(raw, list) else raw.setdefault(key, {})
    raw[last] = value


BROKEN = [
    # path, value, what the line must say
    ("figure", {}, "config: figure: unknown key; expected one of run, data_dir"),
    (f"{INIT}.network.learning_rate", 0.1, f"config: {INIT}.network.learning_rate: unknown key; expected one of dataset"),
    (f"{INIT}.network.lr", "fast", f"config: {INIT}.network.lr: found 'fast', expected type number"),
    (f"{INIT}.network.lr", 1.0e300, f"config: {INIT}.network.lr: found 1e+300, expected at most"),
    (f"{INIT}.network.epochs", 10**12, f"config: {INIT}.network.epochs: found 1000000000000, expected at most"),
    (f"{INIT}.network.input_std", 0, f"config: {INIT}.network.input_std: found 0, expected"),
    (f"{INIT}.network.input_std", [0.2, 0.2, 0], f"config: {INIT}.network.input_std"),
    (f"{INIT}.output_image", 99_999, f"config: {INIT}.output_image: found 99999, expected a training image, 0 to 49999"),
    ("run.name", "a" * 300, "config: run.name: found 'aaa"),
    (f"{INIT}.network.lr", 0, f"config: {INIT}.network.lr: found 0, expected more than 0"),
    (f"{INIT}.network.momentum", 1, f"config: {INIT}.network.momentum: found 1, expected less than 1"),
    (f"{INIT}.network.batch_size", 2.5, f"config: {INIT}.network.batch_size: found 2.5, expected type integer"),
    (f"{INIT}.network.corruption", 1.2, f"config: {INIT}.network.corruption: found 1.2, expected at most 1"),
    (
        f"{INIT}.network.init",
        "normal",
        f"config: {INIT}.network.init: found 'normal', expected one of default, gaussian, kaiming",
    ),
    (f"{INIT}.network.labels", "wrong", "expected one of natural, random"),
    (f"{INIT}.network.stop", "never", "expected one of epochs, until_zero_train_error"),
    (f"{INIT}.network.max_epochs", 10, f"config: {INIT}.network.max_epochs: found 10, expected at least epochs (200)"),
    ("experiments.width.network.max_epochs", 10, "found 10, expected no value with stop: epochs"),
    (
        f"{INIT}.groups.random_labels.network.max_epochs",
        10,
        f"config: {INIT}.groups.random_labels.network.max_epochs: found 10, expected at least epochs (200)",
    ),
    (
        f"{INIT}.groups.random_labels.values",
        [0],
        f"config: {INIT}.groups.random_labels.values: found 0.0, expected a value above 0 with init: gaussian",
    ),
    (
        "experiments.train_size.sweep.values",
        [50_001],
        "config: experiments.train_size.sweep.values: found 50001, expected at most 50000, the training examples of cifar10",
    ),
    (
        "experiments.corruption_bn.pretrain.max_epochs",
        10,
        "config: experiments.corruption_bn.pretrain.max_epochs: found 10, expected no value with stop: epochs",
    ),
    (f"{INIT}.network.dataset", "imagenet", f"config: {INIT}.network.dataset: found 'imagenet', expected a known data set"),
    (
        f"{INIT}.network.architecture",
        "vgg",
        f"config: {INIT}.network.architecture: found 'vgg', expected a known architecture",
    ),
    ("experiments.width.network", {"architecture": "conv5_16"}, "config: experiments.width.network.dataset: missing"),
    (f"{INIT}.network.image_size", -1, "found -1, expected at least 0"),
    ("experiments.corruption_3layer.network.image_size", 8, "found 8, expected larger images: nothing is left of 8x8"),
    (f"{INIT}.network.train_size", 60000, "found 60000, expected at most 50000, the training examples of cifar10"),
    (f"{INIT}.network.input_mean", [0.5, 0.5], "found [0.5, 0.5], expected 1 or 3 numbers, the channels of cifar10"),
    (f"{INIT}.network.init", "default", "expected a value above 0 with init: gaussian, and none with another init"),
    (f"{INIT}.sweep.axis", "std", f"config: {INIT}.sweep.axis: found 'std', expected one of init_std, init_gain"),
    (f"{INIT}.sweep.values", [], f"config: {INIT}.sweep.values: found [], expected at least 1 item"),
    (f"{INIT}.sweep.values", [0.1, 0.1], f"config: {INIT}.sweep.values: found [0.1, 0.1], expected no item twice"),
    (f"{INIT}.sweep", {"axis": "init_std"}, f"config: {INIT}.sweep.values: missing; expected"),
    (f"{INIT}.seeds", [0, 0], f"config: {INIT}.seeds: found [0, 0], expected no item twice"),
    (f"{INIT}.groups.copy", {}, "expected each only once"),
    (
        f"{INIT}.groups.mixed",
        {"network": {"dataset": "cifar100"}},
        "found networks on cifar10 and cifar100, expected one data set",
    ),
    (
        f"{INIT}.select",
        ["best"],
        f"config: {INIT}.select.0: found 'best', expected one of its forms: last, first_zero_train_error, closest",
    ),
    (
        f"{INIT}.norms",
        ["l3"],
        f"config: {INIT}.norms.0: found 'l3', expected one of l2, l2_biases, l1, linf, spectral, output",
    ),
    ("experiments.width.network.architecture", "resnet56", "found a resnet, expected one whose width can be swept"),
    ("experiments.train_size.sweep.values", [100.5], "train_size.sweep.values: found 100.5, expected type integer"),
    ("architectures.conv5.widths", [1, 2], "config: architectures.conv5.widths: found [1, 2], expected 4 numbers"),
    ("architectures.resnet56.depth", 55, "config: architectures.resnet56.depth: found 55, expected 6n + 2"),
    (
        "architectures.conv3_64.batch_norm",
        True,
        "config: architectures.conv3_64.batch_norm: found it with bias: none, expected bias: all, since batch norm brings",
    ),
    ("architectures.conv3_24.batch_norm", True, "found it with bias: first, expected bias: all"),
    (
        f"{INIT}.network.own_seeds",
        True,
        "network.own_seeds: unknown key; expected it under sweep or pretrain",
    ),
    (f"{INIT}.network.steps", 10, f"config: {INIT}.network.steps: found 10, expected either steps or epochs"),
    (f"{INIT}.network.input_mean", "per_image", "found 'per_image', expected one of its forms: per_channel, a number, or"),
    (
        "architectures.conv5.builder",
        "transformer",
        "expected a known builder (or module:function): conv, five_layer, resnet",
    ),
    ("datasets.mine", {"source": "npz"}, "config: datasets.mine.path: missing; expected the file or folder of"),
    ("datasets.mnist", {"source": "mnist", "path": "x.npz"}, "config: datasets.mnist: found"),
    ("datasets.digits", {"source": "digits", "test_size": 9}, "datasets.digits.test_size: found 9, expected at least 10"),
    ("datasets.mnist", {"source": "mnist", "test_size": 99}, "expected no test_size unless source is digits"),
    ("run.name", "cache", "config: run.name: found 'cache', expected to match"),
    ("run.name", "../elsewhere", "config: run.name: found '../elsewhere', expected to match"),
    ("run.experiments", ["init"], "config: run.experiments: found 'init', expected a known experiment: train_size, width"),
    (
        "figures.fig02.panels.0.experiment",
        "init",
        "config: figures.fig02.panels.0.experiment: found 'init', expected a known experiment",
    ),
    ("figures.fig02.panels.0.x", "loss", "config: figures.fig02.panels.0.x: found 'loss', expected one of value, rho"),
    (
        "figures.fig02.panels.0.snapshot",
        "first",
        "config: figures.fig02.panels.0.snapshot: found 'first', expected a known snapshot: last",
    ),
    (
        "figures.fig02.panels.0.groups",
        ["randm"],
        "config: figures.fig02.panels.0.groups: found 'randm', expected a known group",
    ),
    ("figures.plot2", {"title": "", "caption": "", "panels": []}, "config: figures.plot2: bad name; expected to match"),
    (f"{INIT}.network.lr", float("nan"), f"config: {INIT}.network.lr: found nan, expected a finite number"),
    (f"{INIT}.network.seed", 3, f"config: {INIT}.network.seed: unknown key; expected the seeds under seeds"),
    (
        f"{INIT}.select",
        [{"closest_to_train_loss": 0.006}, {"closest_to_train_loss": 0.006000001}],
        "expected each once",
    ),
    (
        "experiments.width.sweep",
        {"axis": "momentum", "values": [1.5]},
        "config: experiments.width.sweep.values: found 1.5, expected less than 1",
    ),
    (
        "experiments.width.sweep",
        {"axis": "batch_size", "values": [0]},
        "config: experiments.width.sweep.values: found 0, expected at least 1",
    ),
    ("experiments.width.sweep.values", [2.5], "config: experiments.width.sweep.values: found 2.5, expected type integer"),
    ("experiments.width.network.batch_size", 1, "found 1, expected at least 2 examples in a batch, which batch norm needs"),
    (
        "experiments.corruption_bn.sweep.values",
        [2.5],
        "config: experiments.corruption_bn.sweep.values: found 2.5, expected at most 1",
    ),
    ("experiments.corruption_bn.pretrain.corruption", 0.3, "found a value, expected none: it is swept"),
    (
        "experiments.corruption_bn.pretrain.dataset",
        "cifar100",
        "pretrain.dataset: found 'cifar100', expected that of the network",
    ),
    (
        "architectures.conv5.bias",
        "first",
        "config: architectures.conv5.bias: found it with builder five_layer, expected only",
    ),
    ("data_dir", 3, "config: data_dir: found 3, expected type string"),
    ("run.experiments", 5, "config: run.experiments: found 5, expected one of its forms"),
    (
        "figures.fig04.panels.0.lines",
        ["ols"],
        "found a fitted line of norm_test_loss against rho, expected test against training",
    ),
    ("figures.fig10.panels.0.groups", ["pretrained"], "found pretrained, expected with a fitted line: natural, pretrained"),
    ("figures.fig04.panels.0.y", ["rho", "test_error"], "found 2 columns, expected one with kind scatter"),
    ("figures.fig20.panels.0.kind", "scatter", "config: figures.fig20.panels.0.y: missing; expected a column"),
    ("figures.fig04.panels.0.x", "max_output", "found max_output, expected it with kind histogram only"),
    ("figures.fig20.panels.0.x", "rho", "found rho, expected max_output or norm_max_output"),
    (
        "figures.fig01.panels.0.kind",
        "pooled_predictors",
        "found experiment, expected experiments with kind pooled_predictors",
    ),
    ("figures.figR.panels.0.experiments", ["width"], "found experiments, expected experiment with kind predictors"),
    (
        "figures.figR.panels.5.experiments",
        ["widht"],
        "figures.figR.panels.5.experiments: found 'widht', expected a known exp",
    ),
    ("figures.fig01.panels.0.kind", "pie", "config: figures.fig01.panels.0.kind: found 'pie', expected"),
    ("runtime.population", 0, "config: runtime.population: found 0, expected at least 1"),
]


@pytest.mark.parametrize(("path", "value", "message"), BROKEN, ids=[f"{p}={v}"[:60] for p, v, _ in BROKEN])
def test_one_line_for_each_mistake(raw: dict, path: str, value: object, message: str) -> None:
    set_at(raw, path, value)
    with pytest.raises(ConfigError) as error:
        load_config(raw)
    assert message in str(error.value)
    assert str(error.value).startswith("config: ")
    assert "\n" not in str(error.value)


def test_numbers_given_as_text_are_read_as_numbers(raw: dict) -> None:
    """As ``--config`` gives them, and YAML what has no point or sign: 1e-4."""
    plain = copy.deepcopy(raw)
    for path, text, number in (
        (f"{INIT}.network.lr", "1e-4", 1e-4),
        (f"{INIT}.network.batch_size", "32", 32),
        (f"{INIT}.network.input_mean", "0.5", 0.5),
        ("runtime.population", "1", 1),
    ):
        set_at(raw, path, text)
        set_at(plain, path, number)
    read = load_config(raw)
    assert read.experiments == load_config(plain).experiments
    assert read.runtime == {"population": 1}


def test_only_what_runs_decides(raw: dict) -> None:
    set_at(raw, "experiments.width.network.train_size", 10**6)
    with pytest.raises(ConfigError, match="found 1000000, expected at most 50000"):
        load_config(raw)
    raw["run"]["experiments"] = ["corruption_bn"]
    assert list(load_config(raw).experiments) == ["corruption_bn"]


def test_a_figure_that_a_run_does_not_draw_is_refused_by_its_reason(raw: dict) -> None:
    raw["run"]["experiments"] = ["width", "train_size"]
    plan = load_config(raw)
    plan.check_targets(["-n", "fig03", "figures", "results/paper/figures/fig99.png", "--configfile", "fig.yaml"])
    with pytest.raises(ConfigError, match=r"fig99: found no such figure, expected one of: fig01, fig03, fig19$"):
        plan.check_targets(["fig99"])
    with pytest.raises(ConfigError, match=r"fig10: needs corruption_3layer, expected under run.experiments; found width"):
        plan.check_targets(["fig10"])


def test_a_key_that_stands_twice_is_found_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("run: {name: a}\nexperiments:\n  width: {seeds: [0]}\n  width: {seeds: [1]}\n")
    with pytest.raises(ConfigError, match=rf"{file}: line 4: found the key width a second time"):
        check_files([file])
    check_files([ROOT / "config.yaml", *sorted((ROOT / "workflow" / "runs").glob("*.yaml"))])


def test_another_configuration_of_a_finished_run_is_said(
    raw: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    note_other_configuration(load_config(raw))
    Path("results/paper").mkdir(parents=True)
    Path("results/paper/config.yaml").write_text(yaml.safe_dump(raw))
    note_other_configuration(load_config(raw))
    assert capsys.readouterr().err == ""
    set_at(raw, f"{INIT}.network.lr", 0.5)
    note_other_configuration(load_config(raw))
    said = capsys.readouterr().err
    assert f"{INIT}.network.lr was 0.01, is 0.5" in said and said.count("\n") == 1


def test_the_paper_in_numbers(raw: dict) -> None:
    """How many networks each experiment has."""
    plan = load_config(raw)
    assert {name: len(e.networks) for name, e in plan.experiments.items()} == {
        "train_size": 9 * 3 * 2 + 9 + 5,
        "width": 11 * 3,
        "init_3layer": 19 + 6 + 1,
        "init_resnet": 4 * 3,
        "corruption_bn": 11 * 3,
        "init_bn": (8 + 1) * 3,
        "corruption_bn_100": 11 * 3,
        "init_bn_100": (8 + 1) * 3,
        "corruption_3layer": 7 * 8 + 8,
        "corruption_3layer_fixed_loss": 7 * 8 + 8,
        "init_3layer_gray": 9 * 4 + 4 + 1 + 2,
    }
    assert {name: len(e.pretrainings) for name, e in plan.experiments.items() if e.pretrainings} == {
        "corruption_bn": 10 * 3,  # one for each network: none is shared, and none without corruption
        "corruption_bn_100": 10 * 3,
        "corruption_3layer": 7,  # one pretrained network for the eight fine-tunings of a level
        "corruption_3layer_fixed_loss": 7,
    }


def test_figures_10_and_13_share_their_trainings(raw: dict) -> None:
    plan = load_config(raw)
    first, second = plan.experiments["corruption_3layer"], plan.experiments["corruption_3layer_fixed_loss"]
    assert [n.spec.hash for n in first.networks] == [n.spec.hash for n in second.networks]
    wanted = [s.name for s in plan.snapshots(first.networks[0].spec)]
    assert wanted == ["last", "within_0.0044_0.0001"]


def test_fine_tunings_start_from_their_level_and_never_share_its_seed(raw: dict) -> None:
    experiment = load_config(raw).experiments["corruption_3layer"]
    for network in experiment.networks:
        if network.group == "natural":
            assert network.spec.pretrained == ""
            assert network.spec.batch_size == 1024
        else:
            assert network.spec.pretrained == network.pretraining.hash
            assert network.pretraining.corruption == network.value
            assert network.spec.corruption == 0
            assert network.pretraining.seed != network.spec.seed
    assert max(Counter(n.spec.pretrained for n in experiment.networks).values()) == 8


@pytest.mark.parametrize(
    ("overlay", "figures"),
    [
        ("demo", {"fig02", "fig04", "fig09", "fig10", "fig13", "fig14"}),
        ("small", {"fig02", "fig04", "fig09", "fig10", "fig13", "fig14"}),
        ("steps", {"fig09", "fig10", "fig13", "fig14", "fig15", "fig16", "fig20", "figJ"}),
        ("preflight", {"figP", "figQ"}),
    ],
)
def test_overlays_load(overlay: str, figures: set[str]) -> None:
    plan = load_config_files(ROOT / "config.yaml", ROOT / "workflow" / "runs" / f"{overlay}.yaml")
    assert plan.run == overlay
    assert figures <= set(plan.figures)


@pytest.mark.parametrize("run", PUBLISHED)
def test_a_published_runs_settings_train_its_networks_again(run: str) -> None:
    folder = ROOT / "results" / "reference" / run
    plan = load_config_files(ROOT / "config.yaml", folder / "config.yaml")
    assert plan.run == run
    networks = {(e.name, n.spec.hash) for e in plan.experiments.values() for n in (*e.networks, *e.pretrainings)}
    specs = json.loads((folder / "specs.json").read_text())
    published = {(name, spec["hash"]) for name, of_networks in specs.items() for spec in of_networks.values()}
    assert networks == published, f"config.yaml has got more than the settings of {run} remove: make analyse RUN={run}"


def test_the_run_with_the_papers_number_of_steps_has_it() -> None:
    paper = load_config_files(ROOT / "config.yaml")
    steps = load_config_files(ROOT / "config.yaml", ROOT / "workflow" / "runs" / "steps.yaml")

    def of_a_network(plan: Config, group: str) -> list[int]:
        network = next(n for n in plan.experiments["corruption_3layer"].networks if n.group == group)
        trained = [network.spec, *([network.pretraining] if network.pretraining else [])]
        return [len(batch_bounds(50_000, spec.batch_size)) * spec.epochs for spec in trained]

    for group in ("pretrained", "natural"):
        assert of_a_network(steps, group) == pytest.approx(of_a_network(paper, group), rel=0.01)


def test_an_overlay_removes_an_entry_by_null(raw: dict) -> None:
    raw["figures"]["fig02"] = None
    raw["experiments"]["init_3layer"]["groups"]["random_labels"] = None
    plan = load_config(raw)
    assert "fig02" not in plan.figures
    assert {n.group for n in plan.experiments["init_3layer"].networks} == {"large_std", "natural"}


def test_a_run_of_some_experiments_leaves_out_the_figures_of_others(raw: dict) -> None:
    raw["run"]["experiments"] = ["corruption_3layer"]
    assert sorted(load_config(raw).figures) == ["fig09", "fig10", "fig14", "figJ", *OURS]
    raw["run"]["experiments"] = ["init_3layer"]
    figure = load_config(raw).figures["fig02"]
    assert len(figure["panels"]) == 2
    assert "Panels of init_resnet, not part of this run" in figure["caption"]


def test_the_paper_has_all_its_figures(raw: dict) -> None:
    assert list(load_config(raw).figures) == [f"fig{number:02d}" for number in range(1, 21)] + ["figJ", *OURS]


def test_the_schema_describes_every_field_with_its_default() -> None:
    schema = yaml.safe_load(paths.SCHEMA.read_text())
    described = {
        NetworkSpec: schema["$defs"]["network"]["properties"],
        Architecture: schema["properties"]["architectures"]["additionalProperties"]["properties"],
    }
    for kind, properties in described.items():
        ours = {f.name: f for f in dataclasses.fields(kind)}
        internal = {"pretrained", "trainer_version"} if kind is NetworkSpec else {"source"}
        resolved = {"steps", "own_seeds"} if kind is NetworkSpec else set()  # into other settings
        assert set(properties) == set(ours) - internal | resolved
        for name in set(properties) - resolved:
            entry = properties[name]
            default = ours[name].default
            if default is not dataclasses.MISSING and name not in ("widths", "arguments", "path"):
                assert entry["default"] == (list(default) if isinstance(default, tuple) else default), name


def test_every_key_has_a_description() -> None:
    def walk(node: object, path: str) -> None:
        if isinstance(node, dict):
            for name, entry in node.get("properties", {}).items():
                if "if" not in path and "then" not in path:
                    assert "description" in entry or entry == {"const": "npz"}, f"{path}.{name}"
            for key, value in node.items():
                if key not in ("if", "then", "else"):
                    walk(value, f"{path}.{key}")

    walk(yaml.safe_load(paths.SCHEMA.read_text()), "")


def test_keys_must_be_text(raw: dict) -> None:
    raw["experiments"]["init_3layer"]["groups"][1] = {}
    with pytest.raises(ConfigError, match=r"config: experiments.init_3layer.groups.1: found the key 1, expected text"):
        load_config(raw)


def test_what_pretraining_says_wins_over_the_sweep(raw: dict) -> None:
    experiment = raw["experiments"]["corruption_3layer"]
    experiment["sweep"] = {"axis": "epochs", "values": [100, 200]}
    experiment["pretrain"]["corruption"] = 0.5
    experiment["groups"] = {"pretrained": {"seeds": [0]}}
    raw["figures"] = {}
    networks = load_config(raw).experiments["corruption_3layer"].networks
    assert [n.spec.epochs for n in networks] == [100, 200]
    assert {n.pretraining.epochs for n in networks} == {300}


def test_pretraining_and_every_seed_see_the_same_subset(raw: dict) -> None:
    raw["experiments"]["corruption_3layer"]["network"]["train_size"] = 2000
    networks = load_config(raw).experiments["corruption_3layer"].networks
    specs = [n.spec for n in networks] + [n.pretraining for n in networks if n.pretraining]
    assert {(s.train_size, s.subset_seed) for s in specs} == {(2000, 0)}
    assert len({s.seed for s in specs}) == 9


def networks_of(raw: dict, name: str, group: str) -> list[Network]:
    return [n for n in load_config(raw).experiments[name].networks if n.group == group]


def test_a_sweep_with_own_seeds_draws_every_network_independently(raw: dict) -> None:
    networks = load_config(raw).experiments["init_3layer"].networks
    seeds = {n.spec.seed for n in networks}
    assert len(seeds) == len({n.value for n in networks}) == 25
    assert all(100_000 <= seed < 1_000_000 for seed in seeds)
    before = {(n.group, n.value): n.spec.hash for n in networks}
    raw["experiments"]["init_3layer"]["sweep"]["values"] = [0.3, 0.08, 0.0001]
    after = {(n.group, n.value): n.spec.hash for n in load_config(raw).experiments["init_3layer"].networks}
    assert {key: before[key] for key in before.keys() & after.keys()} == {k: v for k, v in after.items() if k[1] != 0.3}
    raw["experiments"]["init_3layer"]["seeds"] = [0, 1]
    several = networks_of(raw, "init_3layer", "natural")
    assert len({n.spec.seed for n in several}) == len(several) == 6
    raw["experiments"]["init_3layer"]["sweep"]["own_seeds"] = False
    assert {n.spec.seed for n in networks_of(raw, "init_3layer", "natural")} == {0, 1}


def test_a_pretraining_for_each_network_or_one_for_all(raw: dict) -> None:
    networks = networks_of(raw, "corruption_bn", "pretrained")
    assert {(n.spec.seed, n.pretraining.seed) for n in networks} == {(0, 1000), (1, 1001), (2, 1002)}
    assert all(n.pretraining.corruption == n.value for n in networks)
    assert {n.pretraining for n in networks_of(raw, "corruption_bn", "natural")} == {None}
    raw["experiments"]["corruption_bn"]["pretrain"]["seed"] = 50
    assert {n.pretraining.seed for n in networks_of(raw, "corruption_bn", "pretrained")} == {50, 51, 52}
    raw["experiments"]["corruption_bn"]["pretrain"]["own_seeds"] = False
    assert {n.pretraining.seed for n in networks_of(raw, "corruption_bn", "pretrained")} == {50}


def test_steps_give_the_epochs_of_each_training_size(raw: dict) -> None:
    group = raw["experiments"]["train_size"]["groups"]["fixed_steps"]
    found = {n.value: (n.spec.epochs, n.spec.evaluate_every) for n in networks_of(raw, "train_size", "fixed_steps")}
    assert found == {100: (35_000, 3500), 200: (17_500, 1750), 500: (7000, 700), 1000: (3500, 350), 2000: (1750, 175)}
    group["values"], group["network"] = [201, 250], {"steps": 1000, "evaluate_every": 7, "batch_size": 100}
    found = {n.value: (n.spec.epochs, n.spec.evaluate_every) for n in networks_of(raw, "train_size", "fixed_steps")}
    # 201 examples are two batches, since a single one joins the batch before; with three, 334 epochs are needed
    assert found == {201: (500, 7), 250: (334, 7)}
    group["values"], group["network"] = [0], {"steps": 35_000}
    assert networks_of(raw, "train_size", "fixed_steps")[0].spec.epochs == 70  # of all 50,000
    raw["datasets"]["cifar10"] = {"source": "npz", "path": "mine.npz"}
    with pytest.raises(ConfigError, match=r"experiments.train_size.groups.fixed_steps.values: found all examples, expected"):
        load_config(raw)


def test_a_group_with_epochs_does_without_the_experiments_steps(raw: dict) -> None:
    experiment = raw["experiments"]["train_size"]
    del experiment["network"]["epochs"]
    experiment["network"] |= {"steps": 700, "evaluate_every": 5}
    experiment["sweep"]["values"] = [1000]
    experiment["groups"] = {"natural": {}, "short": {"network": {"epochs": 3}}}
    raw["figures"] = {}
    assert [(n.spec.epochs, n.spec.evaluate_every) for n in load_config(raw).experiments["train_size"].networks] == [
        *[(70, 5)] * 3,
        *[(3, 5)] * 3,
    ]


def test_what_the_configuration_says_in_words_is_what_it_would_be_without(raw: dict) -> None:
    before = load_config(raw).experiments
    for experiment in raw["experiments"].values():
        for key in ("input_mean", "input_std"):
            if experiment["network"].get(key) == "per_channel":
                del experiment["network"][key]
    after = load_config(raw).experiments
    assert {name: [n.spec for n in e.networks] for name, e in before.items()} == {
        name: [n.spec for n in e.networks] for name, e in after.items()
    }
    assert before["train_size"].networks[0].spec.input_mean == ()


def test_a_data_set_of_few_digits_has_fewer_training_examples(raw: dict) -> None:
    raw["datasets"]["few"] = {"source": "digits", "test_size": 1697}
    raw["experiments"]["width"]["network"] |= {"dataset": "few", "train_size": 101}
    with pytest.raises(ConfigError, match="found 101, expected at most 100, the training examples of few"):
        load_config(raw)


def test_a_note_on_a_data_set_is_below_every_figure_made_from_it(raw: dict) -> None:
    raw["datasets"]["cifar10"]["note"] = "A copy with a scratch."
    figures = load_config(raw).figures
    assert figures["fig01"]["caption"].endswith(" A copy with a scratch.")
    assert "scratch" not in figures["fig07"]["caption"]  # another data set
