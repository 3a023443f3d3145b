"""Maintenance windows, and a worker that decides what they hold back, at times the test sets."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from alerting import make_global_action
from sqlalchemy import insert, select

from taskbadger.channels import Message
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, MaintenanceWindow
from taskbadger.services.alerts import settling
from taskbadger.services.delivery import claims, held
from taskbadger.services.delivery.claims import Claimed
from taskbadger.services.tasks import write
from taskbadger.services.windows import manage

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
KEY = Actor("key", "ci")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
WEBHOOK = {"integration": "webhook:ops", "config": {}}


class State(NamedTuple):
    """What a test compares of a delivery."""

    state: str
    held_by: str | None
    next_attempt_at: datetime | None


def make_window(place: ProjectRef, now: datetime = NOW, /, **fields: Any) -> int:
    """Create a window, by default of the organization and for an hour from *now*."""
    times = {} if "schedule" in fields else {"starts": now, "ends": now + HOUR}
    data: Any = {"name": "deploy", **times, **fields}
    made = manage.create_window(place.organization_id, data, actor=SERVER, now=now)
    window_id = made.id
    db.session.commit()
    return window_id


def make_many_windows(place: ProjectRef, number: int, now: datetime = NOW, /) -> None:
    """Insert windows: of four, one is over, one is to come, one recurs, and one is active."""
    row: dict[str, Any] = {
        "organization_id": place.organization_id,
        "name_pattern": "^other$",
        "timezone": "UTC",
        "created": now,
        "updated": now,
        "starts": None,
        "ends": None,
        "schedule": None,
        "duration": None,
    }
    begun, tomorrow = now - HOUR, now + timedelta(days=1)
    kinds: list[dict[str, Any]] = [
        {"starts": begun, "ends": now, "starts_at": None, "ends_at": None},
        {
            "starts": tomorrow,
            "ends": tomorrow + HOUR,
            "starts_at": tomorrow,
            "ends_at": tomorrow + HOUR,
        },
        {
            "schedule": f"{tomorrow:%M %H} * * *",
            "duration": 60,
            "starts_at": tomorrow.replace(second=0, microsecond=0),
            "ends_at": tomorrow.replace(second=0, microsecond=0) + MINUTE,
        },
        {"starts": begun, "ends": tomorrow, "starts_at": begun, "ends_at": tomorrow},
    ]
    rows = [{**row, **kinds[place % 4], "name": f"window {place}"} for place in range(number)]
    db.session.execute(insert(MaintenanceWindow), rows)
    db.session.commit()


def alert(place: ProjectRef, /, **fields: Any) -> int:
    """Create a global action on errors that tells the webhook."""
    return make_global_action(place, **{"channels": [WEBHOOK], **fields})


def fail(project: ProjectRef, now: datetime = NOW, **fields: Any) -> str:
    """Create a task that failed; return its id."""
    monitor_id = fields.pop("monitor_id", None)
    data: Any = {"name": "job", "status": "error", **fields}
    made = write.create_task(project, data, now=now, actor=KEY, monitor_id=monitor_id)
    task_id = str(made.id)
    db.session.commit()
    return task_id


def claim(now: datetime, limit: int = 100) -> list[Claimed]:
    """Claim what is due."""
    found = claims.claim(claims.list_receivers(now=now), limit, now=now)
    db.session.commit()
    return found


def decide(claimed: Claimed, now: datetime) -> Claimed | None:
    """Decide about a delivery, as a worker does before it sends it."""
    if not held.is_affected(claimed, clock=lambda: now):
        return claimed
    ready = settling.decide(claimed, now=now)
    db.session.commit()
    return ready


def work(now: datetime) -> list[tuple[str, int]]:
    """Do what a worker does until nothing is due; return what it sends: name and held_back."""
    sent = []
    while found := claim(now):
        for claimed in found:
            ready = decide(claimed, now)
            if ready is not None:
                message = Message.from_json(ready.message)
                sent.append(((message.task or {}).get("name", message.kind), message.held_back))
                finish(ready)
    return sent


def finish(claimed: Claimed) -> None:
    """Record that a delivery was delivered, if the lease still holds."""
    delivery = db.session.get_one(Delivery, claimed.id, populate_existing=True)
    if delivery.token == claimed.token:
        delivery.state, delivery.next_attempt_at, delivery.token = "delivered", None, None
    db.session.commit()


def deliveries() -> list[State]:
    """Return the deliveries, oldest first."""
    db.session.rollback()
    rows = db.session.execute(
        select(Delivery.state, Delivery.held_by, Delivery.next_attempt_at).order_by(Delivery.id)
    )
    found = [State._make(row) for row in rows]
    db.session.commit()
    return found
