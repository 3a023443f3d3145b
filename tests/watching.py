"""A monitor with its runs and sweeps, at times that the test sets."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Incident, Monitor, Slot
from taskbadger.services.monitors import closing, manage
from taskbadger.services.monitors import sweep as slot_sweep
from taskbadger.services.tasks import write

ACTOR = Actor("key", "ci")
TO_EMAIL = [{"integration": "email", "config": {"to": "ops@example.com"}}]
DAY = "2026-06-01"
"""A Monday; the day of times that name none."""


def at(time: str) -> datetime:
    """Return a moment in UTC: a time of DAY, or ``date time``."""
    text = f"{DAY} {time}" if "-" not in time else time
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def clock(moment: datetime) -> str:
    """Return a moment in the short form that `at` reads."""
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


def sweep(time: str, limit: int = 100) -> int:
    """Close due slots of up to *limit* monitors, as the worker does; return how many had any."""
    closed = close_due_slots(at(time), limit)
    db.session.commit()
    return closed


def close_due_slots(now: datetime, limit: int = 100) -> int:
    """Close due slots of up to *limit* monitors, in one transaction that the caller commits."""
    return closing.close(closing.list_due(now=now, limit=limit), now=now)


def outage(start: str, end: str) -> None:
    """Report an outage, as the worker does after one."""
    slot_sweep.extend_deadlines(at(start), at(end))
    db.session.commit()


@dataclass
class Watch:
    """A monitor created at *since*; hourly unless *fields* differ."""

    project: ProjectRef
    since: str = "11:30"
    fields: dict[str, Any] = field(default_factory=dict)
    monitor: Monitor = field(init=False)

    def __post_init__(self) -> None:
        data = {"name": "nightly", "type": "cron", "schedule": "0 * * * *", "action": TO_EMAIL}
        if "interval" in self.fields:
            data = {"name": "nightly", "type": "interval", "action": TO_EMAIL}
        self.monitor = manage.create_monitor(
            self.project, data | self.fields, now=at(self.since), actor=ACTOR
        )
        db.session.commit()

    def run(self, time: str, status: str = "processing", **changes: Any) -> str:
        """Create a task of the monitor, by its id or by the name it is bound to; return its id."""
        data = {"name": "job", "status": status, **changes}
        named = None if self.monitor.task_name else self.monitor.id
        task = write.create_task(self.project, data, now=at(time), actor=ACTOR, monitor_id=named)
        db.session.commit()
        return str(task.id)

    def report(self, task_id: str, time: str, status: str | None = None, **changes: Any) -> None:
        """Update a task."""
        data = {"status": status, **changes} if status else changes
        write.update_task(self.project, task_id, data, now=at(time), actor=ACTOR)
        db.session.commit()

    def edit(self, time: str, **changes: Any) -> None:
        """Change the monitor."""
        manage.update_monitor(self.project, self.monitor.id, changes, now=at(time), actor=ACTOR)
        db.session.commit()

    @property
    def slots(self) -> list[str]:
        """The state of each slot, oldest first: ``12:00 ok``. The current slot is the last."""
        return [f"{clock(slot.expected_at)} {slot.state}" for slot in slots_of(self.monitor)]

    @property
    def deadlines(self) -> list[str]:
        """The deadline of each waiting slot: ``12:00 until 12:01``."""
        return [
            f"{clock(slot.expected_at)} until {clock(slot.deadline_at)}"
            for slot in slots_of(self.monitor)
            if slot.deadline_at
        ]

    @property
    def incidents(self) -> list[tuple[str, str | None, int]]:
        """The opening, closing and number of bad slots of each incident."""
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
        """The kinds of the notices queued for this monitor, in order."""
        return [
            message["kind"]
            for message in all_messages()
            if message["monitor"]["id"] == str(self.monitor.id)
        ]


def all_messages() -> list[dict[str, Any]]:
    """Return the messages of all deliveries, oldest first."""
    texts = db.session.scalars(select(Delivery.message).order_by(Delivery.created, Delivery.id))
    return [json.loads(text) for text in texts]


def make_many(project: ProjectRef, count: int, **fields: object) -> list[UUID]:
    """Return monitors that are due at 12:00 and have been seen."""
    found = [
        manage.create_monitor(
            project,
            {"name": f"job {number}", "type": "cron", "schedule": "0 * * * *", **fields},
            now=at("11:30"),
            actor=ACTOR,
        ).id
        for number in range(count)
    ]
    db.session.execute(update(Monitor).values(seen=True))
    db.session.commit()
    return found


def states() -> dict[str, int]:
    """Return how many slots are in each state."""
    rows = db.session.execute(select(Slot.state, func.count()).group_by(Slot.state))
    return {row[0]: row[1] for row in rows}
