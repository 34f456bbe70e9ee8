"""What is the same to Elasticsearch, and what is not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.es.settings import flat, nested, text_of
from reconcilers.elasticsearch.lifecycle import DEFAULTS, _leaves
from reconcilers.elasticsearch.mappings import mapping_difference
from reconcilers.elasticsearch.normal import (
    canonical,
    index_settings,
    leaves,
    plain_settings,
    scalar,
    seconds,
)

SAME = [
    (1, "1"),
    (True, "true"),
    (False, "false"),
    (0.5, "0.5"),
    ("1d", "24h"),
    ("60s", "1m"),
    ("1.5h", "90m"),
    ("0ms", "0s"),
    ("1gb", "1024mb"),
    ("512KB", "0.5mb"),
    (["a"], "a"),
    (["a", "b"], "a,b"),
    ([1, True], "1,true"),
]
DIFFERENT = [("1d", "1h"), ("1gb", "1mb"), (1, 2), (True, "false"), ("a", "b"), ("30s", "30"), ("", "0")]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_73_values_that_are_the_same_have_one_text(one: Any, other: Any) -> None:
    assert scalar(one) == scalar(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_values_that_differ_have_two(one: Any, other: Any) -> None:
    assert scalar(one) != scalar(other)


def test_settings_have_one_name_however_they_are_written() -> None:
    ways: list[dict[str, Any]] = [
        {"number_of_replicas": 1, "lifecycle.name": "a"},
        {"index": {"number_of_replicas": "1", "lifecycle": {"name": "a"}}},
        {"index.number_of_replicas": 1, "index": {"lifecycle.name": "a"}},
    ]
    assert len({json.dumps(index_settings(way)) for way in ways}) == 1


NAMES = st.text("abcdefgh_", min_size=1, max_size=6)
PLAIN = st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.text("abcdef 0123456789", max_size=8))
LISTS = st.lists(st.text("abcdef", min_size=1, max_size=5), min_size=1, max_size=3)
SETTINGS = st.recursive(
    st.dictionaries(NAMES, PLAIN | LISTS, min_size=1, max_size=3),
    lambda below: st.dictionaries(NAMES, below, min_size=1, max_size=3),
    max_leaves=6,
)


@given(SETTINGS)
def test_what_a_server_gives_back_of_settings_is_no_drift(asked: dict[str, Any]) -> None:
    given_back = nested({f"index.{name}": value for name, value in flat(asked).items()})
    assert index_settings(given_back) == index_settings(asked)


@given(SETTINGS)
def test_what_is_sent_is_what_was_asked(asked: dict[str, Any]) -> None:
    names = index_settings(asked)
    assert index_settings(plain_settings(asked, names)) == names


@given(SETTINGS)
def test_the_normal_form_of_the_normal_form_is_itself(asked: dict[str, Any]) -> None:
    once = leaves(asked)
    assert leaves(dict(once)) == once
    assert canonical(json.loads(canonical(asked))) == canonical(asked)


@given(PLAIN)
def test_a_value_and_its_text_are_the_same(value: Any) -> None:
    assert scalar(text_of(value)) == scalar(value)


@given(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_duration_is_the_same_in_each_unit(amount: int, unit: str) -> None:
    text = f"{amount}{unit}"
    assert scalar(f"{round(seconds(text) * 1000)}ms") == scalar(text)


@pytest.mark.parametrize("action", sorted(DEFAULTS))
def test_what_the_server_adds_to_an_action_is_no_drift(action: str) -> None:
    usual: dict[str, Any] = {name: {} if value == "{}" else value for name, value in DEFAULTS[action].items()}
    asked = {"warm": {"min_age": "1d", "actions": {action: {}}}}
    there = {"warm": {"min_age": "24h", "actions": {action: usual}}}
    assert _leaves(asked) == _leaves(there)  # type: ignore[arg-type]  # JSON that mypy takes for narrower


FIELD: dict[str, Any] = {
    "properties": {"a": {"type": "keyword", "index": True}, "o": {"properties": {"x": {"type": "long"}}}}
}


def test_a_mapping_that_has_all_that_is_asked_and_more_is_as_asked() -> None:
    there = {
        "dynamic": "false",
        "properties": {
            "a": {"type": "keyword"},
            "o": {"properties": {"x": {"type": "long"}, "y": {"type": "text"}}},
            "b": {"type": "date"},
        },
    }
    assert mapping_difference({"dynamic": False, **FIELD}, there) == mapping_difference({}, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("there", "added", "conflicts"),
    [
        ({"properties": {"a": {"type": "text"}}}, ("field o",), ("a.type is text, keyword is asked",)),
        (
            {"properties": {"a": {"type": "keyword", "index": False}}},
            ("field o",),
            ("a.index is false, true is asked",),
        ),
        ({"properties": {"a": {"type": "keyword"}, "o": {"properties": {}}}}, ("field o.x",), ()),
        ({}, ("field a", "field o"), ()),
    ],
)
def test_fields_are_added_and_never_changed(there: Any, added: Any, conflicts: Any) -> None:
    found = mapping_difference(FIELD, there)
    assert (found.added, found.conflicts) == (added, conflicts)


def test_a_parameter_that_may_change_is_sent_with_the_whole_field() -> None:
    there = {"properties": {"a": {"type": "keyword", "ignore_above": 10, "null_value": "x"}}}
    found = mapping_difference({"properties": {"a": {"type": "keyword", "ignore_above": 20}}}, there)  # type: ignore[arg-type]
    assert found.body == {"properties": {"a": {"type": "keyword", "ignore_above": 20, "null_value": "x"}}}


@pytest.mark.parametrize(
    ("there", "added", "conflicts"),
    [
        (
            {"o": {"properties": {"x": {"type": "long"}, "p": {"properties": {"y": {"type": "date"}}}}}},
            (),
            (),
        ),
        ({"o": {"properties": {"x": {"type": "long"}}}}, ("field o.p",), ()),
        ({}, ("field o",), ()),
        (
            {"o": {"properties": {"x": {"type": "text"}}}},
            ("field o.p",),
            ("o.x.type is text, long is asked",),
        ),
    ],
)
def test_a_dot_in_the_name_of_a_field_is_an_object(there: Any, added: Any, conflicts: Any) -> None:
    asked = {"properties": {"o.x": {"type": "long"}, "o.p.y": {"type": "date"}}}
    found = mapping_difference(asked, {"properties": there})  # type: ignore[arg-type]
    assert (found.added, found.conflicts) == (added, conflicts)


@pytest.mark.parametrize("which", ["asked", "there"])
def test_where_there_are_no_objects_below_a_dot_is_a_dot(which: str) -> None:
    no: dict[str, Any] = {"subobjects": False}
    asked: dict[str, Any] = {"properties": {"o.x": {"type": "long"}}} | (no if which == "asked" else {})
    there: dict[str, Any] = {"properties": {"o.x": {"type": "long"}}} | no
    assert mapping_difference(asked, there) == mapping_difference({}, {})


@pytest.mark.parametrize(("asked", "there"), [(100, 100.0), (100.0, 100), (0.5, 0.5), (2**53 + 1, 2**53 + 1)])
def test_a_whole_number_comes_back_as_a_broken_one(asked: float, there: float) -> None:
    """``scaling_factor`` of a scaled_float does: it is a double of Java's."""
    price = {"type": "scaled_float", "scaling_factor": asked}
    seen = {"type": "scaled_float", "scaling_factor": there}
    found = mapping_difference({"properties": {"price": price}}, {"properties": {"price": seen}})  # type: ignore[dict-item]
    assert found == mapping_difference({}, {})
    other = {"properties": {"price": {**seen, "scaling_factor": 10.0}}}
    assert mapping_difference({"properties": {"price": price}}, other).conflicts  # type: ignore[arg-type, dict-item]
