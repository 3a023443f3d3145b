"""The sweeps of the background worker: steps that run periodically, under either engine.

Each does what is due in small transactions, at least one and for about a second, and says whether
there may be more to do at once.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db, is_conflict, is_outage, reading, roll_back
from taskbadger.process import current_process
from taskbadger.services.failures import backfill, kinds
from taskbadger.services.incidents import following, notices
from taskbadger.services.monitors import closing, sweep
from taskbadger.services.organizations import audit
from taskbadger.services.stats import delivery_counts, runs
from taskbadger.services.tasks import deadlines, write
from taskbadger.services.windows import ending
from taskbadger.services.windows.ending import Ended
from taskbadger.worker import digests, erasing, heartbeat, history, old_tasks, purging, steps
from taskbadger.worker.groups import TimeLimit, do_groups, do_or_leave_out, split
from taskbadger.worker.left_out import LeftOut
from taskbadger.worker.turns import turns

log = logging.getLogger(__name__)

BATCH = 500
"""Tasks per run of a sweep."""

GROUP = 50
"""Tasks per transaction of a sweep; few, because SQLite has one writer at a time."""

REST_SECONDS = 0.01
"""How long steps with more to do leave the database to others between their runs."""

MONITORS = 1_000
"""Monitors per run of `close_slots`."""

MONITOR_GROUP = 50
"""Monitors per transaction of `close_slots`; few, because SQLite has one writer at a time."""

unmarked = {"stale": LeftOut[str](), "overdue": LeftOut[str]()}
"""Tasks that each sweep could not mark."""

NOTICES = 500
"""Notices per run of `tell_incidents`."""

NOTICE_GROUP = 25
"""Notices per transaction of `tell_incidents`; few, because SQLite has one writer at a time."""

unclosed = LeftOut[UUID]()
"""Monitors whose slots could not be closed."""

untold = LeftOut[int]()
"""Notices that could not be told."""

unended: dict[int, Ended] = {}
"""How far the ends of windows have come, if they take longer than one sweep."""


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
        for group in split(task_ids, GROUP)
    ]
    base_url = current_process().base_url

    def mark_group(group: tuple[ProjectRef, Sequence[str]]) -> int:
        project, task_ids = group
        mark_some = partial(mark, project, now=now, base_url=base_url)
        return do_or_leave_out(mark_some, task_ids, left_out, "task")

    done, is_complete = do_groups(mark_group, groups, TimeLimit())
    return done > 0 and (len(due) == BATCH or not is_complete)


def end_windows() -> bool:
    """Do what is due at the end of maintenance windows."""
    steps.tick()
    now = steps.now_after_jumps()
    with reading():
        due = ending.list_due(now=now)
    limit = TimeLimit()
    for window_id in due:
        walk = unended.pop(window_id, Ended(None, is_complete=True))
        while True:
            walk = ending.end_some(
                window_id,
                after=walk.last,
                is_complete=walk.is_complete,
                limit=MONITOR_GROUP,
                now=now,
            )
            db.session.commit()
            if walk.last is None:
                break
            if not limit.pause():
                unended[window_id] = walk
                return True
    return False


def close_slots() -> bool:
    """Close the slots whose deadlines have passed; send the notices that mutes have deferred."""
    steps.tick()
    now = steps.now_after_jumps()
    with reading():
        if not sweep.is_due(now=now):
            return False
        due = closing.list_due(now=now, limit=MONITORS, without=unclosed.ids())
    base_url, limit = current_process().base_url, TimeLimit()
    more = _close_due_slots(due, now, base_url, limit)
    return _send_deferred_notices(now, base_url, limit) or more


def _close_due_slots(due: Sequence[UUID], now: datetime, base_url: str, limit: TimeLimit) -> bool:
    close = partial(closing.close, now=now, base_url=base_url)
    done, is_complete = do_groups(
        lambda group: do_or_leave_out(close, group, unclosed, "monitor"),
        split(due, MONITOR_GROUP),
        limit,
    )
    return done > 0 and (len(due) == MONITORS or not is_complete)


def _send_deferred_notices(now: datetime, base_url: str, limit: TimeLimit) -> bool:
    while True:
        sent = sweep.send_deferred_notices(now=now, limit=MONITOR_GROUP, base_url=base_url)
        db.session.commit()
        if sent < MONITOR_GROUP:
            return False
        if not limit.pause():
            return True


def count_runs() -> bool:
    """Count the runs that ended, for the statistics of each name."""
    steps.tick()
    limit, max_names = TimeLimit(), current_process().settings.METRICS_NAMES
    while True:
        now = steps.database_now()
        with reading():
            batch = runs.read_batch(now=now)
        if batch is None:
            return False
        runs.count_batch(batch, now=now, max_names=max_names)
        db.session.commit()
        if not batch.is_full or not limit.pause():
            return batch.is_full


def count_deliveries() -> bool:
    """Count the attempts to deliver, for metrics."""
    limit = TimeLimit()
    while True:
        now = steps.database_now()
        with reading():
            batch = delivery_counts.read_batch(now=now)
        if batch is None:
            return False
        delivery_counts.count_batch(batch, now=now)
        db.session.commit()
        if not batch.is_full or not limit.pause():
            return batch.is_full


def tell_incidents() -> bool:
    """Close incidents of which nothing fails any more; tell what is due about all of them."""
    steps.tick()
    now = steps.now_after_jumps()
    with reading():
        # What is not followed yet may still change what is due.
        followed_until = min(runs.counted_until() or now, now)
        is_quiet = following.is_quiet(now=followed_until)
    closed = 0
    if is_quiet:
        closed = following.close_quiet(now=followed_until)
        db.session.commit()
    with reading():
        due = notices.list_due(now=now, limit=NOTICES, without=untold.ids())
    base_url = current_process().base_url
    tell = partial(notices.tell_due, now=now, followed_until=followed_until, base_url=base_url)
    told, is_complete = do_groups(
        lambda group: do_or_leave_out(tell, group, untold, "notice"),
        split(due, NOTICE_GROUP),
        TimeLimit(),
    )
    return closed > 0 or (told > 0 and (len(due) == NOTICES or not is_complete))


def end_ignoring() -> bool:
    """Open kinds of failures that are no longer ignored."""
    now = steps.database_now()
    with reading():
        if not kinds.is_ignoring_over(now=now):
            return False
    found = kinds.end_ignoring(now=now, limit=GROUP)
    db.session.commit()
    return found == GROUP


def count_old_failures() -> bool:
    """Find the kinds of tasks that failed before kinds were counted; it ends by itself."""
    limit = TimeLimit()
    while True:
        with reading():
            part = backfill.find_next(limit=BATCH)
        if part is None:
            return False
        for group in split(part.task_ids, GROUP):
            _count_group(part, group)
            part = backfill.advance(part, group[-1])
            db.session.commit()
            if part is None or not limit.pause():
                return True
        if part.is_last:
            backfill.finish(part)
            db.session.commit()


def _count_group(part: backfill.Part, task_ids: Sequence[str]) -> None:
    """Count tasks in one transaction; if that fails, each in its own, without those that fail."""
    try:
        backfill.record(part, task_ids)
        db.session.commit()
    except Exception as error:
        roll_back()
        if is_outage(error) or is_conflict(error):
            raise
        if len(task_ids) == 1:
            log.exception("failure could not be counted", extra={"task": task_ids[0]})
        else:
            for task_id in task_ids:
                _count_group(part, [task_id])


def find_kinds_of_audit_entries() -> bool:
    """Find the kinds of audit entries that servers before kinds wrote, or still write."""
    limit = TimeLimit()
    while True:
        with reading():
            entry_ids = audit.list_without_kind(limit=BATCH)
        if not entry_ids:
            return False
        for group in split(entry_ids, GROUP):
            audit.find_kinds(group)
            db.session.commit()
            if not limit.pause():
                return True


SWEEPS: tuple[tuple[Callable[[], bool], float], ...] = (
    (keep_time, 1.0),
    (mark_stale, 1.0),
    (mark_overdue, 1.0),
    (count_runs, 1.0),
    (tell_incidents, 1.0),
    (end_windows, 1.0),
    (close_slots, 1.0),
    (end_ignoring, 5.0),
    (count_deliveries, 5.0),
    (digests.send_digests, 5.0),
    (erasing.erase_deleted, 5.0),
    (count_old_failures, 60.0),
    (find_kinds_of_audit_entries, 60.0),
    (old_tasks.delete_old_tasks, 60.0),
    (history.delete_old_history, 600.0),
    (history.delete_old_slots, 600.0),
    (purging.purge, 60.0),
    (purging.purge_slowly, 600.0),
    (heartbeat.send_heartbeat, 60.0),
)
"""The steps that run periodically, each with its interval in seconds.

They return whether there may be more to do at once.
"""

for _step, _ in SWEEPS:
    turns.expect(_step.__name__)
