"""Expand the experiments of a configuration into networks: one spec for each value of the sweep, group and seed."""

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from puzzles.base.errors import ConfigError
from puzzles.config.builders import BUILDERS
from puzzles.config.checks import KeyOf, check_architecture, check_network, check_value, expect_known, known_form
from puzzles.config.experiments import NORMS, Experiment, Network, network_name
from puzzles.config.own_code import is_own, own_architecture, with_argument
from puzzles.config.specs import Architecture, NetworkSpec, Select, batch_bounds, from_dict

PRETRAIN_SEED = 1000  # by default: far from the seeds of fine-tunings, so that the two share no random numbers
PER_CHANNEL = "per_channel"  # in words, what no value means: of the training set
EVALUATIONS = 10  # about as many in a training whose length is given in steps


def expand(name: str, raw: dict) -> Experiment:
    """Expand the experiment ``name`` of a configuration that has passed the schema.

    Raises:
        ConfigError: values that do not fit together, or two networks with the same spec.
    """
    e = raw["experiments"][name]
    groups = e.get("groups", {"natural": {}})
    networks = [n for group in sorted(groups) for n in _group_networks(name, group, raw)]
    key = f"config: experiments.{name}"
    if not networks:
        raise ConfigError(f"{key}: found no network, expected a group with at least one value and one seed")
    if len({n.spec.dataset for n in networks}) > 1:
        found = sorted({n.spec.dataset for n in networks})
        raise ConfigError(f"{key}: found networks on {' and '.join(found)}, expected one data set for an experiment")
    for n in networks:
        for field in ("dataset", "architecture", "image_size"):
            if n.pretraining is not None and getattr(n.pretraining, field) != getattr(n.spec, field):
                found, expected = getattr(n.pretraining, field), getattr(n.spec, field)
                raise ConfigError(f"{key}.pretrain.{field}: found {found!r}, expected that of the network, {expected!r}")
    twice, count = Counter(n.spec.hash for n in networks).most_common(1)[0]
    if count > 1:
        same = ", ".join(f"{n.group} {n.axis} {n.value:g} seed {n.spec.seed}" for n in networks if n.spec.hash == twice)
        raise ConfigError(f"{key}: found {count} networks with the same spec ({same}), expected each only once")
    form = known_form(raw["datasets"][networks[0].spec.dataset])
    if form is not None and e.get("output_image", 0) >= form[2]:
        raise ConfigError(f"{key}.output_image: found {e['output_image']}, expected a training image, 0 to {form[2] - 1}")
    select = tuple(_select(s, e.get("max_train_error", 0.0)) for s in e.get("select", ["last"]))
    own = any(is_own(n.spec.architecture.builder) for n in networks)
    names = [s.name for s in select]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"{key}.select: found two snapshots named {Counter(names).most_common(1)[0][0]}, expected each once"
        )
    return Experiment(
        name,
        e["description"],
        tuple(networks),
        select,
        tuple(e.get("norms", [n for n in NORMS if n != "l2_biases" or not own])),
        tuple(group for group, g in groups.items() if g.get("fit", True)),
        e.get("shards", raw.get("runtime", {}).get("shards", 1)),
        e.get("output_image", 0),
        e.get("reference_images", 100),
    )


def _group_networks(name: str, group: str, raw: dict) -> list[Network]:
    e = raw["experiments"][name]
    g = e.get("groups", {}).get(group, {})
    axis, own_seeds = e["sweep"]["axis"], e["sweep"].get("own_seeds", False)
    settings = _laid_over(e["network"], g.get("network", {}))
    pretrain = e.get("pretrain") if g.get("pretrain", True) else None

    def key_of(field: str) -> str:
        """Where a setting of these networks stands: it is swept, the group's, or the experiment's."""
        if field == axis:
            return f"experiments.{name}.groups.{group}.values" if "values" in g else f"experiments.{name}.sweep.values"
        part = f"groups.{group}.network" if field in g.get("network", {}) else "network"
        return f"experiments.{name}.{part}.{field}"

    def pretrain_key_of(field: str) -> str:
        return f"experiments.{name}.pretrain.{field}" if field in (pretrain or {}) else key_of(field)

    networks = []
    _check_parts(name, group, e)
    built = functools.cache(functools.partial(_architecture, raw))
    for value in g.get("values", e["sweep"]["values"]):
        check_value(key_of(axis), axis, value)
        for listed in g.get("seeds", e.get("seeds", [0])):
            seed = own_seed(listed, axis, value) if own_seeds else listed
            pretraining = None
            if pretrain is None:
                spec = _spec(key_of, settings, {axis: value, "seed": seed}, raw, built)
            else:
                # with pretraining, the corruption is that of the pretraining labels
                swept = {axis: value} if axis != "corruption" else {}
                own = {k: v for k, v in pretrain.items() if k != "own_seeds"}
                before = {"seed": PRETRAIN_SEED, axis: value, **own}
                if pretrain.get("own_seeds", False):
                    before["seed"] += seed
                pretraining = _spec(pretrain_key_of, settings, before, raw, built)
                after = {**swept, "seed": seed, "pretrained": pretraining.hash}
                spec = _spec(key_of, settings, after, raw, built)
            networks.append(Network(network_name(axis, value, spec), group, axis, float(value), spec, pretraining))
    return networks


def own_seed(seed: int, axis: str, value: float) -> int:
    """The seed of one value of a sweep whose values have seeds of their own: of six digits, unlike any that is listed.

    It depends on nothing else, so that it stays when other values are added.
    """
    from puzzles.base.randomness import generator  # and numpy with it, which reading a configuration else does without

    return int(generator(seed, f"own_seed/{axis}/{float(value)!r}").integers(100_000, 1_000_000))


def _check_parts(name: str, group: str, e: dict) -> None:
    """What each part of an experiment may say."""
    g, pretrain, axis = e.get("groups", {}).get(group, {}), e.get("pretrain", {}), e["sweep"]["axis"]
    parts = {"network": e["network"], f"groups.{group}.network": g.get("network", {}), "pretrain": pretrain}
    for where, part in parts.items():
        key = f"config: experiments.{name}.{where}"
        if where != "pretrain" and "seed" in part:
            raise ConfigError(f"{key}.seed: unknown key; expected the seeds under seeds")
        if where != "pretrain" and "own_seeds" in part:
            raise ConfigError(f"{key}.own_seeds: unknown key; expected it under sweep or pretrain")
        if "steps" in part and ("epochs" in part or part.get("stop", "epochs") != "epochs"):
            raise ConfigError(f"{key}.steps: found {part['steps']}, expected either steps or epochs, and stop: epochs")
    if axis == "corruption" and "corruption" in pretrain and g.get("pretrain", True):
        raise ConfigError(f"config: experiments.{name}.pretrain.corruption: found a value, expected none: it is swept")


def _laid_over(below: dict, above: dict) -> dict:
    """Settings with others over them; ``epochs`` and ``steps`` displace each other, and how often to evaluate with them."""
    settings = {**below, **above}
    if "steps" in above:
        length = {k: above[k] for k in ("evaluate_every",) if k in above}
        return {k: v for k, v in settings.items() if k not in ("epochs", "evaluate_every")} | length
    if "epochs" in above:
        settings.pop("steps", None)
    return settings


def _spec(key_of: KeyOf, settings: dict, overrides: dict, raw: dict, built: Callable[..., Architecture]) -> NetworkSpec:
    values = _laid_over(settings, overrides)
    for field in ("dataset", "architecture"):
        if field not in values:
            raise ConfigError(f"config: {key_of(field)}: missing; expected the name of one under {field}s")
    expect_known(key_of("dataset"), values["dataset"], list(raw["datasets"]), "data set")
    expect_known(key_of("architecture"), values["architecture"], list(raw["architectures"]), "architecture")
    architecture = built(key_of("architecture"), values["architecture"], values.pop("width", None))
    for field in ("input_mean", "input_std"):
        if values.get(field) == PER_CHANNEL:
            del values[field]
    steps = values.pop("steps", None)
    spec = from_dict(NetworkSpec, {**values, "architecture": architecture})
    dataset = raw["datasets"][spec.dataset]
    if steps is not None:
        epochs = _epochs_of(steps, spec, dataset, key_of("train_size"))
        spec = replace(spec, epochs=epochs)
        if "evaluate_every" not in values:
            spec = replace(spec, evaluate_every=max(1, round(epochs / EVALUATIONS)))
    check_network(key_of, spec, dataset)
    return spec


def _architecture(raw: dict, key: str, name: str, width: float | None) -> Architecture:
    """The architecture of a name, with another width where that is swept."""
    settings, where = raw["architectures"][name], f"architectures.{name}"
    if is_own(settings["builder"]):
        architecture = own_architecture(where, settings)
        return architecture if width is None else with_argument(architecture, "width", int(width))
    for setting in ("arguments", "path"):
        if setting in settings:
            raise ConfigError(
                f"config: {where}.{setting}: found it with builder {settings['builder']}, expected module:function"
            )
    expect_known(f"{where}.builder", settings["builder"], list(BUILDERS), "builder (or module:function)")
    architecture = from_dict(Architecture, settings)
    check_architecture(where, architecture)
    if width is None:
        return architecture
    if not architecture.widths:
        raise ConfigError(f"config: {key}: found a {architecture.builder}, expected one whose width can be swept")
    return replace(architecture, widths=(int(width),) * len(architecture.widths))


def _epochs_of(steps: int, spec: NetworkSpec, dataset: dict, key: str) -> int:
    """The epochs that make at least so many steps."""
    form = known_form(dataset)
    examples = spec.train_size or (form[2] if form else 0)
    if not examples:
        raise ConfigError(
            f"config: {key}: found all examples, expected their number with steps, since {spec.dataset} may be of any size"
        )
    return -(-steps // len(batch_bounds(examples, spec.batch_size)))


def _select(value: str | dict, max_train_error: float) -> Select:
    if isinstance(value, str):
        return Select(value, max_train_error=max_train_error)
    (rule, settings), *_ = value.items()
    if rule == "closest_to_train_loss":
        # the criterion is met within 20 % of the reference loss (our choice)
        return Select(rule, float(settings), 0.2, max_train_error)
    return Select(rule, settings["train_loss"], settings["tolerance"], max_train_error)
