"""Check a configuration. An error is one line: the key, what was found, what was expected."""

import contextlib
import copy
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from puzzles.base import paths
from puzzles.base.errors import ConfigError
from puzzles.base.files import YAML_LOADER
from puzzles.config.builders import BUILDERS, feature_map
from puzzles.config.own_code import is_own
from puzzles.config.specs import Architecture, NetworkSpec, as_dict

KeyOf = Callable[[str], str]  # the key under which the configuration has a setting of a network

# Data sets whose size is known before they are downloaded: side of an image, channels, training examples.
KNOWN_DATA = {"cifar10": (32, 3, 50_000), "cifar100": (32, 3, 50_000), "mnist": (28, 1, 60_000)}
DIGITS, DIGITS_TEST = 1_797, 360  # scikit-learn's digits have no official split
# How error messages word the rules of the schema.
EXPECTED = {
    "enum": "one of {}",
    "const": "{}",
    "type": "type {}",
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "pattern": "to match {}",
    "maxLength": "at most {} characters",
    "minItems": "at least {} item(s)",
    "minProperties": "at least {} entry",
    "uniqueItems": "no item twice",
    "oneOf": "one of its forms: {}",
}


def check_schema(raw: object) -> dict:
    """Raise an error for the most relevant violation of the schema; return the configuration.

    Where the schema asks for a number, text is read as that number, as ``--config`` gives it (and YAML 1e-4).

    Raises:
        ConfigError: the configuration is not as the schema says.
    """
    _check_plain(raw, "")
    errors = _violations(raw)
    if errors and isinstance(raw, dict):
        raw = _with_numbers(raw, errors)
        errors = _violations(raw)
    if errors:
        raise ConfigError(_one_line(jsonschema.exceptions.best_match(errors)))
    assert isinstance(raw, dict)  # says the schema
    return raw


def _violations(raw: object) -> list[jsonschema.ValidationError]:
    errors = jsonschema.Draft202012Validator(_schema()).iter_errors(raw)
    return sorted(errors, key=lambda e: [str(p) for p in e.absolute_path])


def _with_numbers(raw: dict, errors: list[jsonschema.ValidationError]) -> dict:
    raw = copy.deepcopy(raw)
    for error in errors:
        for part in (error, *_below(error)):
            if part.validator == "type" and part.validator_value in ("integer", "number") and isinstance(part.instance, str):
                _set(raw, list(part.absolute_path), part.instance, int if part.validator_value == "integer" else float)
    return raw


def _below(error: jsonschema.ValidationError) -> Iterator[jsonschema.ValidationError]:
    for part in error.context or ():
        yield part
        yield from _below(part)


def _set(raw: object, path: list, text: str, number: type[int] | type[float]) -> None:
    node: Any = raw
    for step in path[:-1]:
        node = node[step]
    with contextlib.suppress(ValueError):
        node[path[-1]] = int(text) if number is int or text.strip().lstrip("+-").isdigit() else float(text)


def check_value(key: str, axis: str, value: float) -> None:
    """Raise an error if a swept value is not allowed for its setting.

    Raises:
        ConfigError: the value is not as the schema says of its setting.
    """
    error = jsonschema.exceptions.best_match(_validator(axis).iter_errors(value))
    if error is not None:
        raise ConfigError(_one_line(error, key))


@functools.cache
def _validator(axis: str) -> jsonschema.Draft202012Validator:
    setting = {"width": {"type": "integer", "minimum": 1}}.get(axis) or _schema()["$defs"]["network"]["properties"][axis]
    return jsonschema.Draft202012Validator(setting)


@functools.cache
def _schema() -> dict:
    return yaml.safe_load(paths.SCHEMA.read_text())


def _check_plain(value: object, key: str) -> None:
    """Refuse what YAML allows but no setting can be: keys that are not text, numbers that are not finite."""
    if isinstance(value, dict):
        for name, entry in value.items():
            if not isinstance(name, str):
                raise ConfigError(f"config: {_join(key, str(name))}: found the key {name!r}, expected text (in quotes)")
            _check_plain(entry, _join(key, name))
    elif isinstance(value, list):
        for i, entry in enumerate(value):
            _check_plain(entry, f"{key}.{i}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"config: {key}: found {value}, expected a finite number")


def _one_line(error: jsonschema.ValidationError, key: str = "") -> str:
    key = key or ".".join(str(p) for p in error.absolute_path)
    assert isinstance(error.schema, Mapping)  # the violated part of the schema; no part of ours is just true or false
    wanted: Any = error.validator_value  # any value that YAML has, like ``found``
    found: Any = error.instance
    rule, properties = error.validator, error.schema.get("properties", {})
    if rule == "additionalProperties":
        unknown = next(k for k in found if k not in properties)
        return f"config: {_join(key, unknown)}: unknown key; expected one of {', '.join(properties)}"
    if rule == "required":
        missing = next(k for k in wanted if k not in found)
        described = properties.get(missing, {}).get("description", "a value").rstrip(".")
        return f"config: {_join(key, missing)}: missing; expected {described}"
    if "propertyNames" in error.absolute_schema_path:
        return f"config: {_join(key, found)}: bad name; expected to match {wanted}"
    wanted = error.schema.get("description", "") if rule == "oneOf" else wanted
    expected = EXPECTED[rule].format(_listed(wanted)) if rule in EXPECTED else error.schema.get("description", str(wanted))
    return f"config: {key}: found {_short(found)}, expected {expected}"


def _short(found: object) -> str:
    text = repr(found)
    return (
        text if len(text) <= 100 else f"{text[:60]} ... ({len(found) if isinstance(found, str) else len(text)} characters)"
    )


def _join(key: str, last: str) -> str:
    return f"{key}.{last}" if key else last


def _listed(wanted: object) -> str:
    return ", ".join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)


def expect_known(key: str, name: str, known: list[str], noun: str) -> None:
    """Raise an error unless ``name`` is one of ``known``.

    Raises:
        ConfigError: it is none of them; the message lists them.
    """
    if name not in known:
        raise ConfigError(f"config: {key}: found {name!r}, expected a known {noun}: {', '.join(known)}")


def known_form(settings: dict) -> tuple[int, int, int] | None:
    """Side, channels and training examples of a data set of the configuration; None where only its file can tell."""
    if settings["source"] == "digits":
        return 8, 1, DIGITS - settings.get("test_size", DIGITS_TEST)
    return KNOWN_DATA.get(settings["source"])


def check_network(key_of: KeyOf, spec: NetworkSpec, dataset: dict) -> None:
    """What a schema cannot say: values that only make sense together.

    Args:
        key_of: names the setting in the error.
        dataset: the configuration of the spec's data set.

    Raises:
        ConfigError: two settings contradict each other, or one does not fit a data set whose form is known.
    """

    def fail(field: str, found: object, expected: str) -> None:
        raise ConfigError(f"config: {key_of(field)}: found {found!r}, expected {expected}")

    if (spec.init == "gaussian") != (spec.init_std > 0):
        fail("init_std", spec.init_std, "a value above 0 with init: gaussian, and none with another init")
    if spec.stop == "until_zero_train_error" and spec.max_epochs < spec.epochs:
        fail("max_epochs", spec.max_epochs, f"at least epochs ({spec.epochs}), the cap of stop: until_zero_train_error")
    if spec.stop == "epochs" and spec.max_epochs:
        fail("max_epochs", spec.max_epochs, "no value with stop: epochs")
    if spec.architecture.batch_norm and 1 in (spec.batch_size, spec.train_size):
        fail("batch_size", spec.batch_size, "at least 2 examples in a batch, which batch norm needs")
    form = known_form(dataset)
    if form is None:
        return
    side, channels, examples = form
    size = spec.image_size or side
    if not is_own(spec.architecture.builder) and min(feature_map(spec.architecture, size, size)) < 1:
        fail("image_size", size, f"larger images: nothing is left of {size}x{size} pixels after the convolutions")
    if spec.train_size > examples:
        fail("train_size", spec.train_size, f"at most {examples}, the training examples of {spec.dataset}")
    for field in ("input_mean", "input_std"):
        if len(getattr(spec, field)) not in (0, 1, channels):
            fail(field, list(getattr(spec, field)), f"1 or {channels} numbers, the channels of {spec.dataset}")


def check_architecture(key: str, architecture: Architecture) -> None:
    """Raise an error if a setting of an architecture is missing, wrong, or not used by its builder.

    Raises:
        ConfigError: the first setting of it that is wrong.
    """
    builder = BUILDERS[architecture.builder]
    unused = sorted(set(as_dict(architecture)) - builder.uses - {"builder"})
    if unused:
        uses = ", ".join(sorted(builder.uses))
        raise ConfigError(f"config: {key}.{unused[0]}: found it with builder {architecture.builder}, expected only {uses}")
    fault = builder.fault(architecture)
    if fault is not None:
        setting, found, expected = fault
        raise ConfigError(f"config: {key}.{setting}: found {found}, expected {expected}")


def check_files(files: Iterable[str | Path]) -> None:
    """Raise an error if a configuration file is no YAML, or has one key twice: then YAML takes the last and says nothing.

    Raises:
        ConfigError: the file, the line and the key.
    """
    for file in files:
        try:
            tree = yaml.compose(Path(file).read_text(), Loader=YAML_LOADER)
        except yaml.YAMLError as error:
            raise ConfigError(f"{file}: found no YAML: {' '.join(str(error).split())}") from error
        for node in _mappings(tree):
            seen: set[str] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                    if key.value in seen:
                        line = key.start_mark.line + 1
                        raise ConfigError(f"{file}: line {line}: found the key {key.value} a second time, expected it once")
                    seen.add(key.value)


def _mappings(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        yield node
    if isinstance(node, yaml.CollectionNode):
        for entry in node.value:
            for part in entry if isinstance(entry, tuple) else (entry,):
                yield from _mappings(part)
