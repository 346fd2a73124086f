"""Expand the experiments of a configuration into networks: one spec for each value of the sweep, group and seed."""

from collections import Counter
from dataclasses import replace

from puzzles.base.errors import ConfigError
from puzzles.config.checks import check_architecture, check_network, check_value, expect_known
from puzzles.config.experiments import NORMS, Experiment, Network, network_name
from puzzles.config.specs import Architecture, NetworkSpec, Select, from_dict

PRETRAIN_SEED = 1000  # by default: far from the seeds of fine-tunings, so that the two share no random numbers


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
    select = tuple(_select(s, e.get("max_train_error", 0.0)) for s in e.get("select", ["last"]))
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
        tuple(e.get("norms", NORMS)),
        tuple(group for group, g in groups.items() if g.get("fit", True)),
        e.get("shards", 1),
        e.get("output_image", 0),
        e.get("reference_images", 100),
    )


def _group_networks(name: str, group: str, raw: dict) -> list[Network]:
    e = raw["experiments"][name]
    g = e.get("groups", {}).get(group, {})
    axis = e["sweep"]["axis"]
    settings = {**e["network"], **g.get("network", {})}
    pretrain = e.get("pretrain") if g.get("pretrain", True) else None
    networks = []
    for part, where in ((e["network"], "network"), (g.get("network", {}), f"groups.{group}.network")):
        if "seed" in part:
            raise ConfigError(f"config: experiments.{name}.{where}.seed: unknown key; expected the seeds under seeds")
    if pretrain and axis == "corruption" and "corruption" in pretrain:
        raise ConfigError(f"config: experiments.{name}.pretrain.corruption: found a value, expected none: it is swept")
    for value in g.get("values", e["sweep"]["values"]):
        check_value(f"experiments.{name}.sweep.values", axis, value)
        for seed in g.get("seeds", e.get("seeds", [0])):
            key = f"experiments.{name}.network"
            pretraining = None
            if pretrain is None:
                spec = _spec(key, settings, {axis: value, "seed": seed}, raw)
            else:
                # with pretraining, the corruption is that of the pretraining labels
                swept = {axis: value} if axis != "corruption" else {}
                before = {"seed": PRETRAIN_SEED, axis: value, **pretrain}
                pretraining = _spec(f"experiments.{name}.pretrain", settings, before, raw)
                spec = _spec(key, settings, {**swept, "seed": seed, "pretrained": pretraining.hash}, raw)
            networks.append(Network(network_name(axis, value, spec), group, axis, float(value), spec, pretraining))
    return networks


def _spec(key: str, settings: dict, overrides: dict, raw: dict) -> NetworkSpec:
    values = {**settings, **overrides}
    for field in ("dataset", "architecture"):
        if field not in values:
            raise ConfigError(f"config: {key}.{field}: missing; expected the name of one under {field}s")
    expect_known(f"{key}.dataset", values["dataset"], list(raw["datasets"]), "data set")
    expect_known(f"{key}.architecture", values["architecture"], list(raw["architectures"]), "architecture")
    architecture = from_dict(Architecture, raw["architectures"][values["architecture"]])
    check_architecture(f"architectures.{values['architecture']}", architecture)
    width = values.pop("width", None)
    if width is not None:
        if architecture.builder == "resnet":
            raise ConfigError(f"config: {key}.architecture: found a resnet, expected one whose width can be swept")
        architecture = replace(architecture, widths=(int(width),) * len(architecture.widths))
    spec = from_dict(NetworkSpec, {**values, "architecture": architecture})
    check_network(key, spec, raw["datasets"][spec.dataset]["source"])
    return spec


def _select(value: str | dict, max_train_error: float) -> Select:
    if isinstance(value, str):
        return Select(value, max_train_error=max_train_error)
    (rule, settings), *_ = value.items()
    if rule == "closest_to_train_loss":
        # the criterion is met within 20 % of the reference loss (our choice)
        return Select(rule, float(settings), 0.2, max_train_error)
    return Select(rule, settings["train_loss"], settings["tolerance"], max_train_error)
