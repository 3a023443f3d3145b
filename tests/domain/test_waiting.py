"""What a delivery that was not sent yet waits for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskbadger.domain.waiting import Waiting, explain

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SOON, LATER = NOW + timedelta(minutes=5), NOW + timedelta(hours=1)
NEW: dict[str, Any] = {
    "attempts": 0,
    "next_attempt_at": NOW,
    "window": None,
    "waits_for_retry": False,
    "paused_until": None,
}
PAUSED = "paused while the receiver is failing, next attempt"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, Waiting("waiting")),
        ({"next_attempt_at": None}, Waiting("waiting")),
        ({"window": "‹deploy›"}, Waiting("waiting")),
        (
            {"next_attempt_at": SOON},
            Waiting("held", "held until", SOON, "by a quiet period"),
        ),
        (
            {"next_attempt_at": SOON, "waits_for_retry": True},
            Waiting("held", "held until", SOON, "in case the run is tried again"),
        ),
        (
            {"next_attempt_at": SOON, "waits_for_retry": True, "window": "‹deploy›"},
            Waiting("held", "held until", SOON, "by the window ‹deploy›"),
        ),
        ({"next_attempt_at": SOON, "attempts": 1}, Waiting("retrying", "next attempt", SOON)),
        ({"attempts": 1}, Waiting("retrying", "next attempt", NOW)),
        ({"paused_until": LATER}, Waiting("waiting", PAUSED, LATER)),
        (
            {"paused_until": SOON, "next_attempt_at": LATER, "attempts": 2},
            Waiting("retrying", PAUSED, LATER),
        ),
        ({"paused_until": NOW}, Waiting("waiting")),
    ],
)
def test_delivery_says_what_it_waits_for_and_until_when(
    facts: dict[str, Any], expected: Waiting
) -> None:
    assert explain(**NEW | facts, now=NOW) == expected
