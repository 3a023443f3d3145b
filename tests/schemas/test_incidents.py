"""Incidents on the wire: what the API and messages say of one."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from taskbadger.models import Incident as IncidentRow
from taskbadger.models import IncidentEvent as EventRow
from taskbadger.schemas.incidents import (
    Incident,
    IncidentEvent,
    incident_url,
    show_event,
    show_incident,
)

AT = datetime(2026, 11, 28, 2, 14, tzinfo=UTC)
MONITOR = UUID("0198f1c2-0000-7000-8000-000000000001")


def test_incident_of_a_name_is_shown_whole() -> None:
    row = IncidentRow(
        id=7,
        name="import",
        opened_at=AT,
        runs=3,
        bad_slots=0,
        acknowledged_at=AT,
        acknowledged_by="anna@example.com",
        snoozed_at=AT,
    )

    shown = show_incident(row, project="shop", failures=[4, 9])

    assert shown == {
        "id": 7,
        "project": "shop",
        "name": "import",
        "monitor": None,
        "opened": "2026-11-28T02:14:00.000000Z",
        "closed": None,
        "runs": 3,
        "failures": [4, 9],
        "acknowledged": "2026-11-28T02:14:00.000000Z",
        "acknowledged_by": "anna@example.com",
        "snoozed": "2026-11-28T02:14:00.000000Z",
        "snoozed_until": None,
    }
    assert list(shown) == list(Incident().fields)


def test_incident_of_a_monitor_counts_failed_and_missed_slots() -> None:
    row = IncidentRow(id=8, monitor_id=MONITOR, opened_at=AT, closed_at=AT, runs=0, bad_slots=5)

    assert show_incident(row, project="shop", failures=()) == {
        "id": 8,
        "project": "shop",
        "name": None,
        "monitor": str(MONITOR),
        "opened": "2026-11-28T02:14:00.000000Z",
        "closed": "2026-11-28T02:14:00.000000Z",
        "runs": 5,
        "failures": [],
        "acknowledged": None,
        "acknowledged_by": None,
        "snoozed": None,
        "snoozed_until": None,
    }


def test_event_is_shown_whole() -> None:
    row = EventRow(created=AT, kind="told", actor="", detail="slack:ops", task_id=None)

    shown = show_event(row)

    assert shown == {
        "created": "2026-11-28T02:14:00.000000Z",
        "kind": "told",
        "actor": None,
        "detail": "slack:ops",
        "task": None,
    }
    assert list(shown) == list(IncidentEvent().fields)


@pytest.mark.parametrize(
    ("base_url", "url"),
    [("https://t.example", "https://t.example/a/acme/incidents/7/"), ("", None)],
)
def test_page_of_an_incident_has_a_url_where_the_base_is_known(
    base_url: str, url: str | None
) -> None:
    assert incident_url(base_url, "acme", 7) == url
