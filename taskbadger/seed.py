"""Demo and bulk data."""

import itertools
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, insert

from taskbadger.domain import ids, status
from taskbadger.domain.status import STATUSES
from taskbadger.extensions import db
from taskbadger.models import Task, TaskEvent, TaskTag
from taskbadger.schemas.tasks import write_tags
from taskbadger.services.accounts import ProjectRef

_BATCH = 5_000
_TASKS = cast(Table, Task.__table__)
_TAGS = cast(Table, TaskTag.__table__)
_EVENTS = cast(Table, TaskEvent.__table__)


def bulk(project: ProjectRef, count: int, *, now: datetime) -> None:
    """Add *count* tasks of the past month, fast, with a tag and a first event each.

    Commits every few thousand rows: a million is far too much for one transaction.
    """
    chance = random.Random(count)  # noqa: S311 - made-up data, the same each time
    rows = _rows(project, count, now, chance)
    while batch := list(itertools.islice(rows, _BATCH)):
        db.session.execute(insert(_TASKS), batch)
        db.session.execute(insert(_TAGS), [_tag(row) for row in batch])
        db.session.execute(insert(_EVENTS), [_event(row) for row in batch])
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
            "id": ids.new_id(created),
            "project_id": project.id,
            "version": 1,
            "parent": None,
            "has_children": False,
            "has_actions": False,
            "monitor_id": None,
            "name": f"job {number % 40}",
            "name_folded": f"job {number % 40}",
            "queue": ("", "default", "high")[number % 3],
            "external_id": f"external-{number}",
            "status": state,
            "stale_from": "processing" if state == status.STALE else None,
            "value": chance.randrange(101) if running else 100,
            "value_max": 100,
            "data": '{"file": "data.csv", "rows": 1200, "ratio": 0.5}',
            "tags": write_tags({"env": ("prod", "test")[number % 2]}),
            "created": created,
            "updated": ended,
            "start_time": None if state == status.PENDING else created,
            "end_time": ended if state in status.TERMINAL else None,
            "time_to_start": None if state == status.PENDING else timedelta(seconds=1),
            "max_runtime": None,
            "stale_timeout": None,
            "stale_at": None,
            "overdue_at": None,
            "progress_event_id": None,
            "progress_at": None,
            "progress_count": 0,
            "progress_step": 1,
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
