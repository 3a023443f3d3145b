"""The sweeps of the background worker: steps that run periodically, under either engine.

Each does what is due in small transactions, at least one and for about a second, and says whether
there may be more to do at once.
"""

import logging
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Literal, TypeVar
from uuid import UUID

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db, is_conflict, is_outage, reading, roll_back
from taskbadger.process import current_process
from taskbadger.services import throttle
from taskbadger.services.delivery import outbox
from taskbadger.services.monitors import closing, sweep
from taskbadger.services.stats import runs
from taskbadger.services.tasks import deadlines, idempotency, retention, write
from taskbadger.worker import steps
from taskbadger.worker.left_out import Id, LeftOut

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Group = TypeVar("Group")

BATCH = 500
"""Tasks per run of a sweep."""

GROUP = 50
"""Tasks per transaction of a sweep; few, because SQLite has one writer at a time."""

SWEEP_SECONDS = 1.0
"""How long a sweep may take before it lets the other steps run, such as `tick`."""

FOUND_AT_ONCE = 1000
"""Old tasks that are looked up together: PostgreSQL finds deleted ones again on the way."""

DELETED_AT_ONCE = 125
"""Tasks that retention deletes in one transaction, with all that belongs to them."""

PAUSE_SECONDS = 0.003
"""How long a sweep leaves SQLite's lock to others between transactions."""

REST_SECONDS = 0.01
"""How long steps with more to do leave the database to others between their runs."""

MONITORS = 1_000
"""Monitors per run of `close_slots`."""

MONITOR_GROUP = 50
"""Monitors per transaction of `close_slots`; few, because SQLite has one writer at a time."""

unmarked = {"stale": LeftOut[str](), "overdue": LeftOut[str]()}
"""Tasks that each sweep could not mark."""

unclosed = LeftOut[UUID]()
"""Monitors whose slots could not be closed."""


def keep_time() -> bool:
    """Tick; there is never more to do."""
    steps.tick()
    return False


def mark_stale() -> bool:
    """Mark tasks stale that have had no update for their stale_timeout."""
    return _sweep(deadlines.list_stale, write.mark_stale, unmarked["stale"])


def mark_overdue() -> bool:
    """End tasks that have run for longer than their max_runtime, as errors."""
    return _sweep(deadlines.list_overdue, write.mark_overdue, unmarked["overdue"])


def _sweep(
    list_due: Callable[..., list[tuple[ProjectRef, str]]],
    mark: Callable[..., int],
    left_out: LeftOut[str],
) -> bool:
    steps.tick()
    now = steps.now_after_jumps()
    with reading():
        due = list_due(now=now, limit=BATCH, without=left_out.ids())
    by_project: defaultdict[ProjectRef, list[str]] = defaultdict(list)
    for project, task_id in due:
        by_project[project].append(task_id)
    groups = [
        (project, group)
        for project, task_ids in by_project.items()
        for group in _split(task_ids, GROUP)
    ]
    base_url = current_process().base_url

    def mark_group(group: tuple[ProjectRef, Sequence[str]]) -> int:
        project, task_ids = group
        mark_some = partial(mark, project, now=now, base_url=base_url)
        return _do_or_leave_out(mark_some, task_ids, left_out, "task")

    done, is_complete = _do_groups(mark_group, groups, _TimeLimit())
    return done > 0 and (len(due) == BATCH or not is_complete)


class _TimeLimit:
    """Ends SWEEP_SECONDS from now."""

    def __init__(self) -> None:
        self._until = time.monotonic() + SWEEP_SECONDS

    def pause(self) -> bool:
        """Leave SQLite's lock to others, if there is time for more; say whether there is."""
        if time.monotonic() > self._until:
            return False
        if db.engine.dialect.name == "sqlite":
            time.sleep(PAUSE_SECONDS)
        return True


def _split(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Return *items* in groups of *size*; the last one may be smaller."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def _do_groups(
    operation: Callable[[Group], int], groups: Sequence[Group], limit: _TimeLimit
) -> tuple[int, bool]:
    """Do *operation* for each group, for the first one at least, as long as there is time.

    Returns the sum of its results, and whether all groups had their turn.
    """
    done = 0
    for number, group in enumerate(groups, start=1):
        done += operation(group)
        if number < len(groups) and not limit.pause():
            return done, False
    return done, True


def _do_or_leave_out(
    operation: Callable[[Sequence[Id]], int],
    ids: Sequence[Id],
    left_out: LeftOut[Id],
    kind: Literal["task", "monitor"],
) -> int:
    """Do *operation* in one transaction; if that fails, for each id in its own.

    So none stops others: one that fails alone is logged, and left out for a while. Returns how
    many the next sweep will not find: those that were done, or are left out from now on.
    """
    try:
        done = operation(ids)
        db.session.commit()
    except Exception as error:
        roll_back()
        if is_outage(error) and not is_conflict(error):
            raise
        if len(ids) > 1:
            return sum(_do_or_leave_out(operation, [each], left_out, kind) for each in ids)
        if is_conflict(error):
            return 0  # The next sweep comes soon.
        log.exception("%s could not be updated", kind, extra={kind: str(ids[0])})
        return int(left_out.add(ids[0]))
    return done


def close_slots() -> bool:
    """Close the slots whose deadlines have passed; send the notices that mutes have deferred."""
    steps.tick()
    now = steps.now_after_jumps()
    with reading():
        if not sweep.is_due(now=now):
            return False
        due = closing.list_due(now=now, limit=MONITORS, without=unclosed.ids())
    base_url, limit = current_process().base_url, _TimeLimit()
    more = _close_due_slots(due, now, base_url, limit)
    return _send_deferred_notices(now, base_url, limit) or more


def _close_due_slots(due: Sequence[UUID], now: datetime, base_url: str, limit: _TimeLimit) -> bool:
    close = partial(closing.close, now=now, base_url=base_url)
    done, is_complete = _do_groups(
        lambda group: _do_or_leave_out(close, group, unclosed, "monitor"),
        _split(due, MONITOR_GROUP),
        limit,
    )
    return done > 0 and (len(due) == MONITORS or not is_complete)


def _send_deferred_notices(now: datetime, base_url: str, limit: _TimeLimit) -> bool:
    while True:
        sent = sweep.send_deferred_notices(now=now, limit=MONITOR_GROUP, base_url=base_url)
        db.session.commit()
        if sent < MONITOR_GROUP:
            return False
        if not limit.pause():
            return True


def count_runs() -> bool:
    """Count the runs that ended, for the statistics of each name."""
    limit = _TimeLimit()
    while True:
        now = steps.database_now()
        with reading():
            batch = runs.read_batch(now=now)
        if batch is None:
            return False
        runs.count_batch(batch, now=now)
        db.session.commit()
        if not batch.is_full or not limit.pause():
            return batch.is_full


def purge() -> bool:
    """Delete expired rows, a small batch of each kind; say whether there may be more."""
    now = steps.database_now()
    throttle.purge(now=now)
    runs.forget_old(now=now)
    db.session.commit()
    found = idempotency.purge(now=now)
    db.session.commit()
    found += outbox.purge(now=now)
    db.session.commit()
    return found > 0


def delete_old_tasks() -> bool:
    """Delete tasks that their projects keep no longer, in small transactions, project by project.

    A project that has more waits until the others have had their turn.
    """
    now = steps.database_now()
    with reading():
        left = retention.list_retentions()
    random.shuffle(left)  # No project is always the last one.
    limit = _TimeLimit()
    while left:
        unfinished = []
        for project in left:
            with reading():
                old = retention.find_old_tasks(project, now=now, limit=FOUND_AT_ONCE)
            for group in _split(old, DELETED_AT_ONCE):
                retention.delete_old_tasks(project, group, now=now)
                db.session.commit()
                if not limit.pause():
                    return True
            if len(old) == FOUND_AT_ONCE:
                unfinished.append(project)
        left = unfinished
    return False


SWEEPS: tuple[tuple[Callable[[], bool], float], ...] = (
    (keep_time, 1.0),
    (mark_stale, 1.0),
    (mark_overdue, 1.0),
    (count_runs, 1.0),
    (close_slots, 1.0),
    (delete_old_tasks, 60.0),
    (purge, 60.0),
)
"""The steps that run periodically, each with its interval in seconds.

They return whether there may be more to do at once.
"""
