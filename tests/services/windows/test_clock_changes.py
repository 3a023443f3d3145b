"""Recurring windows over changes of the clocks, as the worker moves them on from day to day."""

from datetime import UTC, datetime, timedelta

import pytest
from domain.test_windows import CLOCK_CHANGES
from holding import make_window

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.delivery.windows import covering
from taskbadger.services.windows import ending

STEP, QUARTER = timedelta(minutes=15), timedelta(hours=6)
ZONES = {"America/New_York", "Europe/London", "Australia/Lord_Howe"}


def work(moment: datetime) -> None:
    """Do what the worker does at the ends of windows."""
    for window_id in ending.list_due(now=moment):
        ending.end_some(window_id, after=None, is_complete=True, limit=50, now=moment)
        db.session.commit()


def holds(place: ProjectRef, moment: datetime) -> bool:
    found = covering(
        place.organization_id, project_id=place.id, name="job", monitor_id=None, now=moment
    )
    return found is not None


@pytest.mark.parametrize(("zone", "schedule", "day", "start", "end"), CLOCK_CHANGES)
def test_messages_are_held_exactly_during_the_window_of_that_night(
    project: ProjectRef, zone: str, schedule: str, day: str, start: str, end: str
) -> None:
    begins, ends = (
        datetime.strptime(f"{day} {time}", "%Y-%m-%d %H:%M %z").astimezone(UTC)
        for time in (start, end)
    )
    moment = begins - timedelta(days=1)
    make_window(project, moment, schedule=schedule, duration=7200, timezone=zone)

    held = []
    while moment < ends + timedelta(days=1) + QUARTER:
        work(moment)
        if holds(project, moment):
            held.append(moment)
        moment += STEP

    that_night = [each for each in held if begins - QUARTER <= each <= ends + QUARTER]
    assert that_night == [begins + number * STEP for number in range(8)]
    assert held[-1] > ends + QUARTER  # It has moved on to the next night.


def test_both_changes_of_three_zones_are_tried() -> None:
    assert {zone for zone, *_ in CLOCK_CHANGES} == ZONES
    for zone in ZONES:
        assert len({day for of, _, day, _, _ in CLOCK_CHANGES if of == zone}) == 2
