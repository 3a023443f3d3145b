"""Recording: each task that fails gets its failure kind, in the transaction of the change.

Failures of one kind cost two statements, those of several kinds four. Kinds are locked in the order
of their names and fingerprints, so that two transactions wait in turn.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, cast

from sqlalchemy import and_, func, literal, select, union_all

from taskbadger.domain import ids
from taskbadger.domain.fingerprints import OTHERS, OVERDUE, failure_kind
from taskbadger.domain.status import ERROR, STALE
from taskbadger.extensions import db
from taskbadger.models.failure import IGNORED, OPEN
from taskbadger.models.incident_rows import KINDS
from taskbadger.models.task_rows import TaskState
from taskbadger.models.types import Condition
from taskbadger.services.failures import counting
from taskbadger.services.failures.counting import MAX_KINDS, CountedKind
from taskbadger.services.failures.lines import line_of_cause
from taskbadger.services.given_keys import has_key

NEW, BACK = "new", "back"
_kind = KINDS.c


class Failed(NamedTuple):
    """A change with which a task failed."""

    task: TaskState
    """Its state after the change."""
    cause: str
    """``error``, ``stale`` or ``max_runtime_exceeded``."""


class Recorded(NamedTuple):
    """What became of a failure."""

    kind_id: int
    news: str
    """As in `models.failure.Failure`."""
    is_ignored: bool


class _Group(NamedTuple):
    """Failures with one fingerprint."""

    name: str
    fingerprint: str
    title: str
    place: str
    failures: list[Failed]


def cause_of(before: TaskState | None, after: TaskState, *, overrun: bool = False) -> str | None:
    """Return why a task failed with a change; None if it did not.

    *before* is None for a creation. *overrun* marks the server's own changes for max_runtime.
    """
    if after.status not in (ERROR, STALE) or (before and before.status == after.status):
        return None
    return OVERDUE if overrun else after.status


def record(project_id: int, failures: Sequence[Failed], *, is_news: bool = True) -> list[Recorded]:
    """Count failures of one project and note the kind of each task; return both in their order.

    The tasks are locked, or new. *is_news* False is for those of long ago: they reopen no kind.
    """
    if not failures:
        return []
    counted = _count(project_id, _group(failures), is_news=is_news)
    recorded = {
        _key(failed): found
        for group, kind in counted
        for failed, found in zip(group.failures, _judge(group, kind, is_news=is_news), strict=True)
    }
    # A task that failed twice has the kind of its last failure.
    last = {failed.task.id: failed for failed in failures}
    in_order = sorted(last, key=ids.sort_key)  # As those who follow the history lock them.
    counting.NOTE.run_each([_note(last[each], recorded[_key(last[each])]) for each in in_order])
    return [recorded[_key(failed)] for failed in failures]


def _key(failed: Failed) -> tuple[str, int]:
    return failed.task.id, failed.task.version


def _group(failures: Sequence[Failed]) -> list[_Group]:
    """Group failures by kind, in the order in which kinds are locked."""
    groups: dict[tuple[str, str], _Group] = {}
    for failed in failures:
        found = failure_kind(failed.task.data, failed.cause)
        key = failed.task.name, found.fingerprint
        together = groups[key].failures if key in groups else []
        place = ", ".join(part for part in found.frame or () if part)
        groups[key] = _Group(*key, found.title, place, together)
        together.append(failed)
    return [groups[key] for key in sorted(groups)]


def _judge(group: _Group, kind: CountedKind, *, is_news: bool) -> list[Recorded]:
    """Return what became of each failure of a group; at most the first one is news."""
    news = ""
    if is_news and kind.number == len(group.failures):
        news = NEW
    elif is_news and kind.back_since == _first_at(group):
        news = BACK
    first = Recorded(kind.id, news, kind.state == IGNORED)
    return [first, *([first._replace(news="")] * (len(group.failures) - 1))]


def _count(
    project_id: int, groups: Sequence[_Group], *, is_news: bool
) -> list[tuple[_Group, CountedKind]]:
    """Add failures to their kinds; return each group with its kind."""
    if len(groups) == 1:
        statement = counting.COUNT if is_news else counting.COUNT_OLD
        [kind] = statement.all(_counted_or_other(project_id, groups[0]))
        return [(groups[0], kind)]
    fitting = _fit(project_id, groups)
    fits = counting.COUNT_FITTING if is_news else counting.COUNT_OLD_FITTING
    fits.run_each([_counted(project_id, group) for group in fitting])
    query = select(*counting.RETURNED).where(_are(project_id, fitting))
    rows = cast(Sequence[CountedKind], db.session.execute(query).all())
    kinds = {(kind.name, kind.fingerprint): kind for kind in rows}
    return [(group, kinds[_name_of(group)]) for group in fitting]


def _fit(project_id: int, groups: Sequence[_Group]) -> list[_Group]:
    """Return the groups that are known or for which their names have room, then those of OTHER.

    In every transaction, the kinds of OTHER are locked last.
    """
    known, room = _read_room(project_id, groups)
    fitting, others = [], dict[tuple[str, str], _Group]()
    for group in groups:
        if _name_of(group) in known or room[group.name] > 0:
            fitting.append(group)
            room[group.name] -= _name_of(group) not in known
        else:
            other = _other(group)
            others.setdefault(_name_of(other), other).failures.extend(group.failures)
    return [*fitting, *(others[name] for name in sorted(others))]


def _other(group: _Group) -> _Group:
    """Return the group, without failures, for those of *group* if its name has no room for it."""
    kind = OTHERS[group.failures[0].cause]
    return _Group(group.name, kind.fingerprint, kind.title, "", [])


def _read_room(
    project_id: int, groups: Sequence[_Group]
) -> tuple[set[tuple[str, str]], dict[str, int]]:
    """Return the names and fingerprints that are known, and how many more each name may have."""
    names = {group.name for group in groups}
    number = func.count().label("number")
    of_names = and_(
        _kind.project_id == project_id, _kind.name.in_(sorted(names)), counting.is_no_other()
    )
    counts = select(_kind.name, literal("").label("fingerprint"), number).where(of_names)
    known = select(_kind.name, _kind.fingerprint, literal(0)).where(_are(project_id, groups))
    found, room = set(), dict.fromkeys(names, MAX_KINDS)
    for name, fingerprint, count in db.session.execute(
        union_all(counts.group_by(_kind.name), known)
    ):
        if fingerprint:
            found.add((name, fingerprint))
        else:
            room[name] -= count
    return found, room


def _are(project_id: int, groups: Sequence[_Group]) -> Condition:
    """Return the condition that a kind is one of these."""
    names = [_name_of(group) for group in groups]
    return and_(_kind.project_id == project_id, has_key((_kind.name, _kind.fingerprint), names))


def _name_of(group: _Group) -> tuple[str, str]:
    return group.name, group.fingerprint


def _first_at(group: _Group) -> datetime:
    return min(failed.task.updated for failed in group.failures)


def _counted(project_id: int, group: _Group) -> dict[str, object]:
    """Return the parameters of counting.COUNT_FITTING."""
    last = max(group.failures, key=lambda failed: failed.task.updated)
    return {
        "of_project": project_id,
        "of_name": group.name,
        "of_fingerprint": group.fingerprint,
        "new_title": group.title,
        "new_place": group.place,
        "new_cause": last.cause,
        "added": len(group.failures),
        "first_at": _first_at(group),
        "last_at": last.task.updated,
        "last_task": last.task.id,
        "new_state": OPEN,
    }


def _counted_or_other(project_id: int, group: _Group) -> dict[str, object]:
    """Return the parameters of counting.COUNT, also for a name that has no room."""
    other = _other(group)
    return {
        **_counted(project_id, group),
        "other_fingerprint": other.fingerprint,
        "other_title": other.title,
    }


def _note(failed: Failed, recorded: Recorded) -> dict[str, object]:
    return {
        "task_id": failed.task.id,
        "kind_id": recorded.kind_id,
        "failed_at": failed.task.updated,
        "news": recorded.news,
        "error": line_of_cause(failed.task, failed.cause),
    }
