"""How long a snooze of each choice lasts."""

from datetime import UTC, datetime

import pytest

from taskbadger.domain.snoozes import SNOOZES, snooze_end

EVENING = datetime(2026, 3, 28, 22, 30, tzinfo=UTC)
"""The day before clocks in Europe go forward."""


@pytest.mark.parametrize(
    ("choice", "zone", "end"),
    [
        ("1", "UTC", datetime(2026, 3, 28, 23, 30, tzinfo=UTC)),
        ("4", "UTC", datetime(2026, 3, 29, 2, 30, tzinfo=UTC)),
        ("tomorrow", "UTC", datetime(2026, 3, 29, 8, 0, tzinfo=UTC)),
        ("tomorrow", "Europe/Berlin", datetime(2026, 3, 29, 6, 0, tzinfo=UTC)),
        ("tomorrow", "Asia/Kathmandu", datetime(2026, 3, 30, 2, 15, tzinfo=UTC)),
        ("tomorrow", "Pacific/Honolulu", datetime(2026, 3, 29, 18, 0, tzinfo=UTC)),
        ("tomorrow", "Gone/Away", datetime(2026, 3, 29, 8, 0, tzinfo=UTC)),
        ("tomorrow", "../etc/passwd", datetime(2026, 3, 29, 8, 0, tzinfo=UTC)),
        ("tomorrow", "", datetime(2026, 3, 29, 8, 0, tzinfo=UTC)),
        ("tomorrow", "x" * 5000, datetime(2026, 3, 29, 8, 0, tzinfo=UTC)),
        ("change", "UTC", None),
    ],
)
def test_end_of_each_choice(choice: str, zone: str, end: datetime | None) -> None:
    assert snooze_end(choice, now=EVENING, timezone=zone) == end


@pytest.mark.parametrize("choice", ["", "2", "until", "1 "])
def test_other_choices_are_unknown(choice: str) -> None:
    with pytest.raises(KeyError):
        snooze_end(choice, now=EVENING)


def test_every_choice_has_an_end_or_none() -> None:
    assert [snooze_end(choice, now=EVENING) is None for choice, _ in SNOOZES] == [
        False,
        False,
        False,
        True,
    ]
