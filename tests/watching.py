"""A monitor, its runs and its sweeps, by a clock that the test sets."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from taskbadger.extensions import db
from taskbadger.models import Delivery, Incident, Monitor, Slot
from taskbadger.services import monitors, slot_sweep, tasks
from taskbadger.services.accounts import Actor, ProjectRef

ACTOR = Actor("key", "ci")
TO_EMAIL = [{"integration": "email", "config": {"to": "ops@example.com"}}]
DAY = "2026-06-01"
"""A Monday, and the day of a time without one."""


def at(time: str) -> datetime:
    """Return a moment in UTC: a time of DAY, or ``date time``."""
    text = f"{DAY} {time}" if "-" not in time else time
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def clock(moment: datetime) -> str:
    """Write a moment as `at` reads it, in short."""
    text = moment.strftime("%Y-%m-%d %H:%M:%S").removeprefix(f"{DAY} ")
    return text.removesuffix(":00")


def slots_of(monitor: Monitor) -> list[Slot]:
    """Return the slots of a monitor, oldest first."""
    db.session.expire_all()
    return list(
        db.session.scalars(
            select(Slot).where(Slot.monitor_id == monitor.id).order_by(Slot.expected_at)
        )
    )


def sweep(time: str) -> int:
    """Close what is due, as the worker does."""
    closed = slot_sweep.close_due_slots(now=at(time))
    db.session.commit()
    return closed


def outage(start: str, end: str) -> None:
    """Tell of an outage, as the worker does when it comes back."""
    slot_sweep.extend_deadlines(at(start), at(end))
    db.session.commit()


@dataclass
class Watch:
    """A monitor made at *since*: hourly, unless *fields* say otherwise."""

    project: ProjectRef
    since: str = "11:30"
    fields: dict[str, Any] = field(default_factory=dict)
    monitor: Monitor = field(init=False)

    def __post_init__(self) -> None:
        data = {"name": "nightly", "type": "cron", "schedule": "0 * * * *", "action": TO_EMAIL}
        if "interval" in self.fields:
            data = {"name": "nightly", "type": "interval", "action": TO_EMAIL}
        self.monitor = monitors.create_monitor(
            self.project, data | self.fields, now=at(self.since), actor=ACTOR
        )
        db.session.commit()

    def run(self, time: str, status: str = "processing", **changes: Any) -> str:
        """Create a task of the monitor; return its id."""
        data = {"name": "job", "status": status, **changes}
        task = tasks.create_task(
            self.project, data, now=at(time), actor=ACTOR, monitor_id=self.monitor.id
        )
        db.session.commit()
        return str(task.id)

    def report(self, task_id: str, time: str, status: str | None = None, **changes: Any) -> None:
        """Update a task."""
        data = {"status": status, **changes} if status else changes
        tasks.update_task(self.project, task_id, data, now=at(time), actor=ACTOR)
        db.session.commit()

    def edit(self, time: str, **changes: Any) -> None:
        """Change the monitor."""
        monitors.update_monitor(self.project, self.monitor.id, changes, now=at(time), actor=ACTOR)
        db.session.commit()

    @property
    def slots(self) -> list[str]:
        """What became of each slot, oldest first, the current one last: ``12:00 ok``."""
        return [f"{clock(slot.expected_at)} {slot.state}" for slot in slots_of(self.monitor)]

    @property
    def deadlines(self) -> list[str]:
        """What each slot that waits waits for: ``12:00 until 12:01``."""
        return [
            f"{clock(slot.expected_at)} until {clock(slot.deadline_at)}"
            for slot in slots_of(self.monitor)
            if slot.deadline_at
        ]

    @property
    def incidents(self) -> list[tuple[str, str | None, int]]:
        """When each incident was opened and closed, and the number of bad slots."""
        db.session.expire_all()
        found = db.session.scalars(
            select(Incident).where(Incident.monitor_id == self.monitor.id).order_by(Incident.id)
        )
        return [
            (clock(one.opened_at), one.closed_at and clock(one.closed_at), one.bad_slots)
            for one in found
        ]

    @property
    def notices(self) -> list[str]:
        """The kinds of the notices that were queued for this monitor, in order."""
        return [
            message["kind"]
            for message in all_messages()
            if message["monitor"]["id"] == str(self.monitor.id)
        ]


def all_messages() -> list[dict[str, Any]]:
    """Return the messages of all deliveries, oldest first."""
    texts = db.session.scalars(select(Delivery.message).order_by(Delivery.created, Delivery.id))
    return [json.loads(text) for text in texts]
