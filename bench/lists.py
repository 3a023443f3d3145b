"""Measures what windows and incidents cost: their pages, their lists, and each delivery.

PYTHONPATH=. python bench/lists.py [--database sqlite|postgresql] [--numbers 0 100 10000]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from api import database
from dashboard import REPEATS, measure_pages, prepare
from flask import Flask
from sqlalchemy import insert, select, text

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.extensions import db
from taskbadger.models import Incident, MaintenanceWindow, Monitor, Organization, Project
from taskbadger.services.delivery import windows
from taskbadger.services.monitors import covers, manage
from taskbadger.services.organizations import keys
from taskbadger.services.organizations.projects import list_refs

PAGES = (
    ("windows", "/a/bench/alerts/windows/"),
    ("windows, over", "/a/bench/alerts/windows/?state=over"),
    ("incidents", "/a/bench/incidents/"),
    ("incidents, closed", "/a/bench/incidents/?state=closed"),
    ("overview", "/a/bench/"),
)
MONITOR: dict[str, Any] = {"name": "nightly", "type": "cron", "schedule": "0 3 * * *"}
HOUR = timedelta(hours=1)


def window_times(place: int, now: datetime) -> dict[str, Any]:
    """Return when a window is active: in turn it is over, recurs later, and is active now."""
    begun, none = now - HOUR, {"starts": None, "ends": None, "schedule": None, "duration": None}
    if place % 3 == 0:
        return {**none, "starts": begun, "ends": now, "starts_at": None, "ends_at": None}
    if place % 3 == 1:
        start = (now + HOUR + timedelta(minutes=place % 1200)).replace(second=0, microsecond=0)
        times = {"schedule": f"{start:%M %H} * * *", "duration": 60}
        return {**none, **times, "starts_at": start, "ends_at": start + timedelta(minutes=1)}
    end = now + 10 * HOUR
    return {**none, "starts": begun, "ends": end, "starts_at": begun, "ends_at": end}


def fill(project: Project, number: int) -> None:
    """Insert so many windows, and as many incidents of names; half of those are open."""
    now, owner = utcnow(), project.organization_id
    shared = {"organization_id": owner, "timezone": "UTC", "created": now, "updated": now}
    made = [
        # Those that recur cover all monitors.
        {
            **shared,
            "name": f"w{at}",
            "name_pattern": "" if at % 3 == 1 else f"^job {at}$",
            **window_times(at, now),
        }
        for at in range(number)
    ]
    incidents = [
        {
            "organization_id": owner,
            "project_id": project.id,
            "name": f"job {at}",
            "opened_at": now,
            "closed_at": now if at % 2 else None,
            "runs": 1,
            "bad_slots": 0,
            "notified": False,
        }
        for at in range(number)
    ]
    if number:
        db.session.execute(insert(MaintenanceWindow), made)
        db.session.execute(insert(Incident), incidents)
    db.session.commit()
    db.session.execute(text("ANALYZE"))
    db.session.commit()


def measure_services(organization_id: int, label: str) -> None:
    """Print what deliveries and sweeps of monitors spend on windows."""
    monitors = db.session.scalars(select(Monitor)).all()
    _print(label, "delivery", lambda: windows.has_active(organization_id, now=utcnow()))
    _print(label, "delivery in one", lambda: windows.list_active(organization_id, now=utcnow()))
    _print(label, "slots", lambda: covers.covers_of(monitors, now=utcnow()))


def _print(label: str, name: str, ask: Callable[[], object]) -> None:
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        ask()
        times.append(time.perf_counter() - begun)
    print(f"{label} {name:17} {statistics.median(times) * 1000:7.1f} ms")


def measure_lists(app: Flask, key: str, label: str) -> None:
    """Print how long the lists of the API take."""
    client, headers = app.test_client(), {"Authorization": f"Bearer {key}"}
    for path in ("windows/", "windows/?page_size=1000", "incidents/"):
        _print(label, path, lambda path=path: client.get(f"/api/bench/-/{path}", headers=headers))


def main() -> None:
    """Run the measurements at each number of windows and incidents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--numbers", type=int, nargs="+", default=[0, 100, 10_000])
    options = parser.parse_args()
    for number in options.numbers:
        with database(options.database) as url:
            measure(url, number)


def measure(url: str, number: int) -> None:
    """Run the measurements on one database."""
    app, cookie, _, _ = prepare(url, 100)
    label = f"{url.partition(':')[0]:10} {number:>9,}"
    with app.app_context():
        project = db.session.scalars(select(Project)).one()
        place = list_refs([project.id])[project.id]
        manage.create_monitor(place, MONITOR, now=utcnow(), actor=SERVER)
        fill(project, number)
        organization = db.session.get_one(Organization, project.organization_id)
        _, key = keys.create_key(organization, None, actor=SERVER, name="lists", now=utcnow())
        db.session.commit()
        measure_services(project.organization_id, label)
        db.session.rollback()
    measure_lists(app, key, label)
    measure_pages(app, cookie, PAGES, label)
    with app.app_context():
        db.engine.dispose()


if __name__ == "__main__":
    main()
