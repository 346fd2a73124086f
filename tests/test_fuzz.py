"""Configurations that nobody would write: each is accepted, or refused in one line that names the key. Never a traceback."""

import copy
import json
import os

import pytest
import yaml
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from puzzles.base.errors import ConfigError
from puzzles.config.checks import check_files
from puzzles.config.configuration import Config, load_config
from puzzles.output.reuse import resolved_specs

PAPER = json.loads(json.dumps(yaml.safe_load((ROOT / "config.yaml").read_text())))
EXAMPLES = int(os.environ.get("PUZZLES_FUZZ", "150"))
MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(
        ["", "all", "1e-4", "../x", "a b", "\n", "ünï", "none", "0", "per_channel", "last", "0x10", "1_000", "x" * 300]
    ),
    st.text(max_size=8),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.text(max_size=6), st.integers()), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(node: object, path: tuple = ()) -> list[tuple]:
    """Every place in a tree of dictionaries and lists."""
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, value in inside for place in places(value, (*path, key)))]


PLACES = [place for place in places(PAPER) if place]
# of one experiment that loads quickly, so that more are tried
SMALL = {k: v for k, v in PAPER.items() if k != "figures"} | {"figures": {"fig03": PAPER["figures"]["fig03"]}}
SMALL["run"] = {"name": "fuzz", "experiments": ["width"]}
SMALL["experiments"] = {"width": PAPER["experiments"]["width"], "init_bn": PAPER["experiments"]["init_bn"]}
SMALL_PLACES = [place for place in places(SMALL) if place]


def changed(raw: dict, place: tuple, value: object, how: str) -> dict:
    raw = copy.deepcopy(raw)
    node = raw
    for key in place[:-1]:
        node = node[key]
    if how == "remove":
        del node[place[-1]]
    elif how == "add" and isinstance(node, dict):
        node[str(value)[:20]] = value
    else:
        node[place[-1]] = value
    return raw


def accepted(raw: object) -> Config | None:
    try:
        config = load_config(raw)
    except ConfigError as error:
        line = str(error)
        assert line.startswith("config: "), line
        assert "\n" not in line and len(line) < 2000
        return None
    resolved_specs(config)
    json.dumps(config.raw)
    return config


@MANY
@given(place=st.sampled_from(SMALL_PLACES), value=values, how=st.sampled_from(["set", "remove", "add"]))
def test_one_change_anywhere(place: tuple, value: object, how: str) -> None:
    raw = changed(SMALL, place, value, how)
    before = copy.deepcopy(raw)
    config = accepted(raw)
    assert json.dumps(raw, default=repr) == json.dumps(before, default=repr)  # what was given is left as it was
    if config is not None:
        name = config.run
        assert "/" not in name and name not in ("data", "cache", "reference", "bench", "..") and len(name) <= 80


@MANY
@given(changes=st.lists(st.tuples(st.sampled_from(SMALL_PLACES), values), min_size=2, max_size=5))
def test_several_changes_at_once(changes: list[tuple]) -> None:
    raw = SMALL
    for place, value in changes:
        try:
            raw = changed(raw, place, value, "set")
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change has removed the place
    accepted(raw)


@MANY
@given(raw=values)
def test_anything_at_all(raw: object) -> None:
    accepted(raw)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.sampled_from(PLACES), value=scalars)
def test_one_change_of_the_whole_paper(place: tuple, value: object) -> None:
    accepted(changed(PAPER, place, value, "set"))


@MANY
@given(text=st.text(alphabet="ab:{}[]-,#&*!|>'\"%@ \n\t1.e", max_size=40))
def test_any_text_as_a_file(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_text(text)
    try:
        check_files([file])
    except ConfigError as error:
        assert str(error).startswith(f"{file}: ") and "\n" not in str(error)
