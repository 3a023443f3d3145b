"""What a change changed, in words."""

from datetime import UTC, datetime
from typing import Any

import pytest

from taskbadger.domain.changes import describe

MAIL = {"integration": "email", "config": {"to": "ops@example.com"}}
HOOK = {"integration": "webhook:ops", "config": {}}


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("web", "shop", "it: web → shop"),
        (None, 30, "it: none → 30"),
        (True, False, "it: true → false"),
        ([], [MAIL, HOOK], 'it: none → email {"to": "ops@example.com"}, webhook:ops'),
        ("a\nb", "", 'it: "a\\nb" → none'),
        (None, datetime(2026, 6, 1, 20, tzinfo=UTC), "it: none → 2026-06-01 20:00:00 UTC"),
        ({}, {"a": 1}, 'it: {} → {"a": 1}'),
    ],
)
def test_change_is_described_by_what_was_and_what_is(before: Any, after: Any, line: str) -> None:
    assert describe({"it": before, "same": 1}, {"it": after, "same": 1}) == [line]


def test_field_that_comes_and_one_that_goes_differ_too() -> None:
    assert describe({"old": 1}, {"new": 2}) == ["old: 1 → none", "new: none → 2"]


def test_secret_is_not_described() -> None:
    lines = describe({"secret": "a"}, {"secret": "b"}, lambda name: name == "secret")

    assert lines == ["secret: (secret) changed"]
