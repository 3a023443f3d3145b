"""Attempts: tasks of one project with the same name and external id are attempts of one run.

An attempt is superseded once a later one exists. Its failure is then no failed run: it is taken out
of the counts and of its incident.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import bindparam, func, select, update

from taskbadger.domain import ids
from taskbadger.domain.status import FAILED
from taskbadger.extensions import Statement, db
from taskbadger.models.incident_rows import FAILURES, KINDS, HistoryEntry
from taskbadger.models.task_rows import EVENTS, TASKS
from taskbadger.services.given_keys import has_key
from taskbadger.services.incidents import leaving

_KEYS_AT_ONCE = 200
_MAX_ROWS = 10_000
"""Attempts that are read of so many runs; of a group that is misused, the latest ones."""
_task = TASKS.c
_failure = FAILURES.c
_event = EVENTS.c
# Pairs are made in Python: a subquery for the next attempt of each would walk all later tasks of
# its name.
_ATTEMPTS = (
    select(
        _task.id,
        _task.project_id,
        _task.name,
        _task.external_id,
        _failure.kind_id,
        _failure.failed_at,
        _failure.news,
        _failure.superseded_by,
        _failure.incident_id,
        KINDS.c.cause,
        KINDS.c.name.label("failed_as"),
    )
    .join_from(TASKS, FAILURES, _failure.task_id == _task.id, isouter=True)
    .join(KINDS, KINDS.c.id == _failure.kind_id, isouter=True)
    .order_by(_task.id.desc())
    .limit(_MAX_ROWS)
)
_LOCK = (
    select(_failure.task_id)
    .where(_failure.task_id.in_(bindparam("tasks", expanding=True)))
    .order_by(_failure.task_id)
    .with_for_update(key_share=True)
)
_SUPERSEDE = Statement(
    update(FAILURES).where(_failure.task_id == bindparam("of_task")).values(incident_id=None),
    tuple,
)
_PASS_ON = Statement(update(FAILURES).where(_failure.task_id == bindparam("of_task")), tuple)


class Superseded(NamedTuple):
    """A failed attempt that another one followed."""

    task_id: str
    project_id: int
    name: str
    """The one that it had when it failed."""
    cause: str
    failed_at: datetime
    incident_id: int | None
    next_id: str


class _Attempt(NamedTuple):
    id: str
    project_id: int
    name: str
    external_id: str
    kind_id: int | None
    """None for a task that has not failed."""
    failed_at: datetime | None
    news: str | None
    superseded_by: str | None
    incident_id: int | None
    cause: str | None
    failed_as: str | None
    """The name that the task had when it failed."""


def supersede(entries: Sequence[HistoryEntry], *, after: int) -> list[Superseded]:
    """Mark the failed attempts that later ones supersede, as far as *entries* tell of either.

    *after* is the entry of the history before them. A failure that is told by a later part of the
    history is left for that part. The incidents of these attempts count one failed run less; one
    without any is deleted, unless someone was told.
    """
    keys = {
        (entry.project_id, entry.external_id)
        for entry in entries
        if entry.project_id is not None
        and entry.external_id
        and (entry.type == "created" or entry.status in FAILED)
    }
    superseded: list[Superseded] = []
    news: list[dict[str, str]] = []
    for attempts in _list_runs(sorted(keys)):
        superseded += _pair(attempts)
        news += _news_passed_on(attempts)
    failed_here = {entry.task_id for entry in entries if entry.status in FAILED}
    found = _known_so_far(superseded, failed_here, after)
    _lock_failures({*failed_here, *(each.task_id for each in found), *map(_task_of, news)})
    _SUPERSEDE.run_each(
        [
            {"of_task": each.task_id, "superseded_by": each.next_id}
            for each in sorted(found, key=lambda each: each.task_id)
        ]
    )
    _PASS_ON.run_each(sorted(news, key=_task_of))
    leaving.take_out(each.incident_id for each in found if each.incident_id is not None)
    return found


def _task_of(changes: Mapping[str, str]) -> str:
    return changes["of_task"]


def _lock_failures(task_ids: Collection[str]) -> None:
    """Lock all failures that are followed, before any is changed, in the order of `recording`."""
    ordered = sorted(task_ids, key=ids.sort_key)
    for start in range(0, len(ordered), _KEYS_AT_ONCE):
        some = {"tasks": ordered[start : start + _KEYS_AT_ONCE]}
        db.session.execute(_LOCK, some).all()


def _list_runs(keys: Sequence[tuple[int, str]]) -> Iterable[list[_Attempt]]:
    """Yield the attempts of each run, the first one first."""
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        is_one = has_key((_task.project_id, _task.external_id), some)
        runs: defaultdict[tuple[int, str, str], list[_Attempt]] = defaultdict(list)
        for row in map(_Attempt._make, db.session.execute(_ATTEMPTS.where(is_one))):
            runs[row.project_id, row.name, row.external_id].append(row)
        yield from (attempts[::-1] for attempts in runs.values() if len(attempts) > 1)


def _pair(attempts: Sequence[_Attempt]) -> Iterable[Superseded]:
    for attempt, following in pairwise(attempts):
        if attempt.failed_at is None or attempt.superseded_by is not None:
            continue
        yield Superseded(
            attempt.id,
            attempt.project_id,
            attempt.failed_as or attempt.name,
            attempt.cause or "",
            attempt.failed_at,
            attempt.incident_id,
            following.id,
        )


def _news_passed_on(attempts: Sequence[_Attempt]) -> Iterable[dict[str, str]]:
    """Yield what becomes news because it was the failure of an earlier attempt that was.

    The first failure of a kind is news; if it was tried again, the last failed attempt is, too.
    """
    *earlier, last = attempts
    news = {each.kind_id: each.news for each in earlier if each.kind_id and each.news}
    if last.kind_id in news and not last.news:
        yield {"of_task": last.id, "news": news[last.kind_id] or ""}


def _known_so_far(
    superseded: Sequence[Superseded], failed_here: Iterable[str], after: int
) -> list[Superseded]:
    """Return those whose failures are among the entries, or were before."""
    here = set(failed_here)
    others = [each.task_id for each in superseded if each.task_id not in here]
    later: set[str] = set()
    for start in range(0, len(others), _KEYS_AT_ONCE):
        later.update(
            db.session.scalars(
                select(_event.task_id)
                .where(
                    _event.task_id.in_(others[start : start + _KEYS_AT_ONCE]),
                    _event.type.in_(("created", "status")),
                    _event.status.in_(FAILED),
                )
                .group_by(_event.task_id)
                .having(func.max(_event.id) > after)
            )
        )
    return [each for each in superseded if each.task_id not in later]
