"""Slugs made from names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain.slugs import first_free, from_name


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Operations", "operations"),
        ("On call: Team 2!", "on-call-team-2"),
        ("  Änderungen & Größe ", "anderungen-grosse"),
        ("a_b", "a-b"),
        ("日本", ""),
        ("---", ""),
        ("", ""),
        ("a" * 40, "a" * 29),
        ("a" * 28 + " b", "a" * 28),
    ],
)
def test_slug_has_the_letters_and_digits_of_the_name(name: str, slug: str) -> None:
    assert from_name(name, 29) == slug


@given(st.text())
def test_slug_is_empty_or_valid(name: str) -> None:
    slug = from_name(name, 29)

    assert len(slug) <= 29
    assert slug == from_name(slug, 29)
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize(
    ("slug", "taken", "free"),
    [
        ("ops", set(), "ops"),
        ("ops", {"op", "ops-2"}, "ops"),
        ("ops", {"ops"}, "ops-2"),
        ("ops", {"ops", "ops-2"}, "ops-3"),
        ("a" * 29, {"a" * 29}, "a" * 27 + "-2"),
        ("a" * 26 + "-bc", {"a" * 26 + "-bc"}, "a" * 26 + "-2"),
    ],
)
def test_slug_that_is_taken_gets_a_number(slug: str, taken: set[str], free: str) -> None:
    assert first_free(slug, taken, 29) == free
