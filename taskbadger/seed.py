"""The account of the first run, demo data and bulk data."""

import itertools
import json
import random
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, insert
from sqlalchemy.exc import IntegrityError

from taskbadger.domain import ids, status
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.domain.status import STATUSES
from taskbadger.extensions import db
from taskbadger.models import Task, TaskEvent, TaskTag
from taskbadger.process import current_process
from taskbadger.schemas.tasks import write_tags
from taskbadger.services.failures import backfill
from taskbadger.services.organizations import keys, organizations, projects
from taskbadger.services.people import members, passwords, users
from taskbadger.services.tasks import write

_BATCH = 5_000
_TASKS = cast(Table, Task.__table__)
_TAGS = cast(Table, TaskTag.__table__)
_EVENTS = cast(Table, TaskEvent.__table__)

DEMO_EMAIL = "demo@example.com"

_COMMON: dict[str, Any] = {
    "version": 1,
    "parent": None,
    "has_children": False,
    "has_actions": False,
    "monitor_id": None,
    "value_max": 100,
    "data": '{"file": "data.csv", "rows": 1200, "ratio": 0.5}',
    "max_runtime": None,
    "stale_timeout": None,
    "stale_at": None,
    "overdue_at": None,
    "progress_event_id": None,
    "progress_at": None,
    "progress_count": 0,
    "progress_step": 1,
}
"""The columns that are the same for all tasks of bulk data."""


@dataclass(frozen=True, slots=True)
class FirstRun:
    """The secrets of the account of the first run, to be shown once."""

    key: str
    password: str


def first_run(*, now: datetime) -> FirstRun | None:
    """Create organization and project ``demo``, a key and a login, if the database is empty.

    Returns None if it is not. Commits, so that only one of several servers that start at the same
    time creates them.
    """
    try:
        if organizations.list_organizations() or not users.needs_set_up():
            return None
        made = _make_account(now)
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        return None
    return made


def _make_account(now: datetime) -> FirstRun:
    organization = organizations.ensure_organization("demo", name="Demo", actor=SERVER, now=now)
    project = projects.ensure_project(
        organization,
        "demo",
        name="Demo",
        actor=SERVER,
        now=now,
        retention_days=current_process().settings.default_retention,
    )
    _, key = keys.create_key(organization, project, name="first run", actor=SERVER, now=now)
    password = secrets.token_urlsafe(12)
    user = users.ensure_user(DEMO_EMAIL, now=now, name="Demo")
    user.password_hash = passwords.hash_password(password)
    members.add_member(user, organization, "owner", actor=SERVER, now=now)
    return FirstRun(key, password)


def welcome(made: FirstRun | None, address: str, data: str) -> str:
    """Return what ``serve`` prints: where the server and its *data* are, and a new account."""
    lines = [
        f"Task Badger is running at {address}/",
        f"  API docs  {address}/api/docs/",
        f"  data      {data}",
    ]
    if made is not None:
        lines += [
            "This is the first run. Your account, shown only this once:",
            f"  e-mail    {DEMO_EMAIL}",
            f"  password  {made.password}",
            f"  API key   {made.key}",
            f"  how to send tasks with the key: {address}/a/demo/how-to/",
        ]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Story:
    """A demo task: its fields when created, and its updates, each with the seconds before it."""

    name: str
    minutes_ago: float
    fields: dict[str, Any]
    updates: Sequence[tuple[float, dict[str, Any]]] = ()


def _progress(*values: int, every: float, last: str) -> list[tuple[float, dict[str, Any]]]:
    """Return updates that start a task, report progress and end it with the status *last*."""
    steps: list[tuple[float, dict[str, Any]]] = [(2, {"status": "processing", "value": 0})]
    steps += [(every, {"value": value}) for value in values]
    return [*steps, (every, {"status": last})] if last else steps


_PROD, _TEST = {"env": "prod"}, {"env": "test"}
_TRACE = """Traceback (most recent call last):
  File "/srv/shop/backup.py", line 31, in run
    dump(table)
  File "/srv/shop/backup.py", line 57, in dump
    file.write(rows)
OSError: [Errno 28] No space left on device"""
STORIES = (
    Story("Import customers", 50, {"tags": {**_PROD, "team": "sales"}, "data": {"rows": 1200}},
          _progress(20, 45, 70, 100, every=60, last="success")),
    Story("Nightly backup", 2040, {"tags": _PROD, "queue": "nightly", "max_runtime": 3600,
                                   "data": {"exception": _TRACE}},
          _progress(25, 50, every=300, last="error")),
    Story("Nightly backup", 600, {"tags": _PROD, "queue": "nightly", "max_runtime": 3600},
          _progress(25, 50, 75, 100, every=240, last="success")),
    Story("Send newsletter", 4, {"tags": _PROD, "value_max": 5000, "data": {"list": "monthly"}},
          _progress(600, 1400, 2300, every=45, last="")),
    Story("Render video", 12, {"tags": {**_TEST, "codec": "av1"}, "queue": "render"},
          _progress(10, 20, 35, 40, every=90, last="")),
    Story("Fetch exchange rates", 3, {"tags": _PROD},
          [(1, {"status": "pre_processing"}), (20, {"status": "processing", "value": 50})]),
    Story("Build search index", 6, {"tags": _TEST},
          [(1, {"status": "pre_processing"})]),
    Story("Publish report", 9, {"tags": {**_PROD, "team": "finance"}},
          [*_progress(40, 100, every=60, last=""), (30, {"status": "post_processing"})]),
    Story("Resize images", 90, {"tags": _TEST, "external_id": "batch-77"},
          _progress(15, every=120, last="cancelled")),
    Story("Sync calendar", 180, {"tags": _TEST, "stale_timeout": 600},
          [*_progress(30, every=60, last=""), (700, {"status": "stale"})]),
    Story("Charge subscriptions", 1, {"tags": {**_PROD, "team": "finance"}, "queue": "billing"}),
    Story("Clean temporary files", 0.5, {"queue": "low"}),
)  # fmt: skip
_CHILDREN = ("Import customers: file 1", "Import customers: file 2")


def demo(project: ProjectRef, *, now: datetime, base_url: str = "") -> int:
    """Add a task for each of STORIES, and children of the first; return the number of tasks."""
    actor = Actor("key", "demo")
    parent = None
    for story in STORIES:
        task_id = _create(project, story, actor, now, base_url)
        parent = parent or task_id
    for name in _CHILDREN:
        steps = _progress(50, 100, every=50, last="success")
        _create(project, Story(name, 49, {"parent": parent}, steps), actor, now, base_url)
    return len(STORIES) + len(_CHILDREN)


def _create(project: ProjectRef, story: Story, actor: Actor, now: datetime, base_url: str) -> str:
    moment = now - timedelta(minutes=story.minutes_ago)
    fields = {"name": story.name, **story.fields}
    if "data" in fields:
        fields["data"] = json.dumps(fields["data"])
    task = write.create_task(project, fields, now=moment, actor=actor, base_url=base_url)
    for seconds, changes in story.updates:
        moment += timedelta(seconds=seconds)
        by = SERVER if changes.get("status") == status.STALE else actor
        write.update_task(project, task.id, changes, now=moment, actor=by, base_url=base_url)
    return str(task.id)


def bulk(project: ProjectRef, count: int, *, now: datetime) -> None:
    """Add *count* tasks of the past month, fast, with a tag and a first event each.

    Commits every few thousand rows, because a million are too many for one transaction.
    """
    chance = random.Random(count)  # noqa: S311 - made-up data, the same each time
    rows = _rows(project, count, now, chance)
    while batch := list(itertools.islice(rows, _BATCH)):
        db.session.execute(insert(_TASKS), batch)
        db.session.execute(insert(_TAGS), [_tag(row) for row in batch])
        db.session.execute(insert(_EVENTS), [_event(row) for row in batch])
        db.session.commit()
    backfill.start(project.id)
    db.session.commit()


def _rows(
    project: ProjectRef, count: int, now: datetime, chance: random.Random
) -> Iterator[dict[str, Any]]:
    month = timedelta(days=30)
    for number in range(count):
        created = now - month * (1 - number / count) + timedelta(microseconds=number % 1000)
        ended = created + timedelta(seconds=chance.expovariate(1 / 60))
        state = chance.choices(STATUSES, (2, 1, 4, 1, 80, 8, 3, 1))[0]
        running = state in status.RUNNING
        yield {
            **_COMMON,
            "id": ids.new_id(created),
            "project_id": project.id,
            "name": f"job {number % 40}",
            "name_folded": f"job {number % 40}",
            "queue": ("", "default", "high")[number % 3],
            "external_id": f"external-{number}",
            "status": state,
            "stale_from": "processing" if state == status.STALE else None,
            "value": chance.randrange(101) if running else 100,
            "tags": write_tags({"env": ("prod", "test")[number % 2]}),
            "created": created,
            "updated": ended,
            "start_time": None if state == status.PENDING else created,
            "end_time": ended if state in status.TERMINAL else None,
            "time_to_start": None if state == status.PENDING else timedelta(seconds=1),
        }


def _tag(row: dict[str, Any]) -> dict[str, Any]:
    value = row["tags"].split('"')[3]
    return {
        "task_id": row["id"],
        "name": "env",
        "value": value,
        "project_id": row["project_id"],
    }


def _event(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "task_id": row["id"],
        "type": "created",
        "created": row["created"],
        "status": row["status"],
        "value": row["value"],
        "value_max": 100,
        "actor_type": "key",
        "actor_name": "seed",
    }
