"""JSON Merge Patch: the examples of RFC 7396, appendix A, whose target and patch are objects."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain.merge_patch import merge

VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_patch_of_the_standard(
    target: dict[str, Any], patch: dict[str, Any], merged: dict[str, Any]
) -> None:
    before = repr(target)

    assert merge(target, patch) == merged
    assert repr(target) == before


@given(OBJECTS, OBJECTS)
def test_patch_has_its_effect_once(target: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge(target, patch)

    assert merge(once, patch) == once
    assert {name for name in patch if patch[name] is None}.isdisjoint(once)
