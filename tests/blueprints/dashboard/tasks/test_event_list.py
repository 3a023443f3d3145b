"""The events of a task, with progress folded."""

from datetime import UTC, datetime, timedelta

import pytest

from taskbadger.blueprints.dashboard.tasks.event_list import MAX_SHOWN, Fold, list_events
from taskbadger.models.task_rows import EventRow

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def events(kinds: str) -> list[EventRow]:
    """Return an event for each letter: progress for ``p``, a change of status for any other."""
    return [
        EventRow(
            at,
            "t",
            "progress" if letter == "p" else "status",
            NOON + timedelta(seconds=at),
            "processing",
            at,
            100,
            "key",
            "ci",
        )
        for at, letter in enumerate(kinds)
    ]


def shape(kinds: str) -> list[int | list[int]]:
    """Return the ids of the entries, the latest first; of a fold, the ids in it."""
    return [
        [event.id for event in entry.events] if isinstance(entry, Fold) else entry.id
        for entry in list_events(events(kinds)).entries
    ]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ("", []),
        ("sppp", [3, 2, 1, 0]),
        ("spppp", [4, [3, 2], 1, 0]),
        ("sppppsppsppppp", [13, [12, 11, 10], 9, 8, 7, 6, 5, 4, [3, 2], 1, 0]),
    ],
)
def test_progress_between_the_first_and_the_last_is_folded(
    kinds: str, expected: list[int | list[int]]
) -> None:
    assert shape(kinds) == expected


def test_what_is_not_shown_is_counted() -> None:
    found = list_events(events("s" * 7 + "p" * 100 + "s" * (MAX_SHOWN - 2)))

    assert len(found.entries) == MAX_SHOWN
    assert found.hidden == 7 + 1
