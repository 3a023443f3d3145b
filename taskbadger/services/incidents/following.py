"""Following: incidents of names open and close as the history of tasks goes on.

``services/stats/runs.py`` hands over each part of the history once, in order, and in one
transaction with how far it got. So requests pay nothing for incidents, and each opens once. The
rules are in ``domain/incidents.py``; ``noting`` notes who is to be told, and ``notices`` tells.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from sqlalchemy import Table, bindparam, insert, select, update

from taskbadger.domain import incidents
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.incidents import Run, Span
from taskbadger.domain.status import FAILED, SUCCESS
from taskbadger.extensions import Statement, db
from taskbadger.models import Incident
from taskbadger.models.incident_rows import (
    FAILURE_COLUMNS,
    FAILURES,
    KINDS,
    NAME_INCIDENT_COLUMNS,
    FailureRow,
    HistoryEntry,
    NameIncidentRow,
)
from taskbadger.services.given_keys import has_key
from taskbadger.services.incidents import leaving, noting, timeline
from taskbadger.services.incidents.noting import Reported
from taskbadger.services.organizations import projects

LIMIT = 500
_ROWS_AT_ONCE = 500
_INCIDENTS = cast(Table, Incident.__table__)
_incident = _INCIDENTS.c
_OPEN = (
    select(*NAME_INCIDENT_COLUMNS)
    .where(_incident.closed_at.is_(None))
    .order_by(_incident.id)
    # Nobody else closes them meanwhile, because nothing has failed for long.
    .with_for_update(key_share=True)
)
_FAILURES = (
    select(*FAILURE_COLUMNS)
    .join_from(FAILURES, KINDS, KINDS.c.id == FAILURES.c.kind_id)
    .where(FAILURES.c.task_id.in_(bindparam("tasks", expanding=True)))
)
_INSERT = insert(_INCIDENTS).returning(_incident.id, sort_by_parameter_order=True)
_UPDATE = Statement(
    update(_INCIDENTS)
    .where(_incident.id == bindparam("incident"))
    .values(runs=_incident.runs + bindparam("added")),
    tuple,
)
_LINK = Statement(update(FAILURES).where(FAILURES.c.task_id == bindparam("of_task")), tuple)


class _Name(NamedTuple):
    project_id: int
    name: str


def follow(
    entries: Iterable[HistoryEntry],
    superseded: Collection[str],
    repeated: Collection[str] = (),
    *,
    now: datetime,
) -> None:
    """Open and close the incidents of names as *entries* of the history require.

    *superseded* are failed attempts that later ones have superseded: they do not count. *repeated*
    are tasks whose earlier failure is the same run: it counts in its last incident only.
    """
    ended = [
        entry
        for entry in entries
        if entry.project_id is not None
        and (entry.status == SUCCESS or entry.status in FAILED)
        and entry.task_id not in superseded
    ]
    if not ended:
        return
    known = _list_open({_name_of(entry) for entry in ended})
    failures = _list_failures([entry.task_id for entry in ended if entry.status in FAILED])
    concerned = {
        name: runs
        for name, runs in _runs_by_name(ended, failures).items()
        if name in known or any(run.has_failed for run in runs)
    }
    quiet_after = projects.list_quiet_after({name.project_id for name in concerned})
    changed: list[_Changed] = []
    for name, runs in concerned.items():
        wait = quiet_after[name.project_id]
        changed += _follow_name(name, known.get(name), runs, failures, wait, now)
    if changed:
        _write(changed, now)
        _leave_earlier(changed, repeated)


def is_quiet(*, now: datetime) -> bool:
    """Say whether `close_quiet` would close an incident; only reads."""
    query = select(_incident.id).where(_incident.quiet_at <= now, _incident.closed_at.is_(None))
    return db.session.scalar(query.limit(1)) is not None


def close_quiet(*, now: datetime, limit: int = LIMIT) -> int:
    """Close incidents of names of which nothing has failed for long; return how many.

    *now* is not later than what of the history has been followed.
    """
    rows = db.session.execute(
        select(*NAME_INCIDENT_COLUMNS)
        .where(_incident.quiet_at <= now, _incident.closed_at.is_(None))
        .order_by(_incident.quiet_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    changed = []
    for row in map(NameIncidentRow._make, rows):
        span = _span_of(row)
        span.closed_at = span.quiet_at
        changed.append(_Changed(_Name(row.project_id, row.name), row, span, []))
    if changed:
        _write(changed, now)
    return len(changed)


class _Changed(NamedTuple):
    """An incident that opened, changed or closed."""

    name: _Name
    before: NameIncidentRow | None
    span: Span
    failed: Sequence[FailureRow]
    """The failures that were followed."""

    @property
    def added(self) -> list[FailureRow]:
        """Those of new runs: a task that fails twice, such as one that was stale, is one run."""
        known = self.before.id if self.before is not None else None
        return [each for each in self.failed if known is None or each.incident_id != known]


def _name_of(entry: HistoryEntry) -> _Name:
    return _Name(entry.project_id or 0, entry.name)


def _list_open(names: Collection[_Name]) -> dict[_Name, NameIncidentRow]:
    """Return the open incidents of names, locked."""
    ordered, found = sorted(names), {}
    for start in range(0, len(ordered), _ROWS_AT_ONCE):
        some = ordered[start : start + _ROWS_AT_ONCE]
        query = _OPEN.where(has_key((_incident.project_id, _incident.name), some))
        for row in map(NameIncidentRow._make, db.session.execute(query)):
            found[_Name(row.project_id, row.name)] = row
    return found


def _list_failures(task_ids: Sequence[str]) -> dict[str, FailureRow]:
    found: dict[str, FailureRow] = {}
    for start in range(0, len(task_ids), _ROWS_AT_ONCE):
        some = {"tasks": task_ids[start : start + _ROWS_AT_ONCE]}
        for row in map(FailureRow._make, db.session.execute(_FAILURES, some)):
            found[row.task_id] = row
    return found


def _runs_by_name(
    ended: Iterable[HistoryEntry], failures: Mapping[str, FailureRow]
) -> dict[_Name, list[Run]]:
    """Return the runs of each name, in order, without failures of ignored kinds."""
    found: defaultdict[_Name, list[Run]] = defaultdict(list)
    for entry in ended:
        has_failed = entry.status in FAILED
        failure = failures.get(entry.task_id)
        if has_failed and (failure is None or failure.is_ignored(entry.created)):
            continue
        run = Run(entry.task_id, entry.created, has_failed)
        found[_name_of(entry)].append(run)
    return found


def _follow_name(
    name: _Name,
    incident: NameIncidentRow | None,
    runs: Sequence[Run],
    failures: Mapping[str, FailureRow],
    quiet_after: timedelta,
    now: datetime,
) -> Iterable[_Changed]:
    before = incident and _span_of(incident)
    for span in incidents.follow(before, runs, quiet_after=quiet_after):
        if span.failed and span.closed_at is None:
            # What is followed late, after an outage of ours, begins to be quiet now.
            span.quiet_at = max(span.quiet_at, now + quiet_after)
        tasks = dict.fromkeys(run.task_id for run in span.failed)
        failed = [failures[task_id] for task_id in tasks]
        yield _Changed(name, incident if span.incident_id else None, span, failed)


def _span_of(incident: NameIncidentRow) -> Span:
    return Span(incident.opened_at, incident.last_failed_at, incident.quiet_at, incident.id)


def _write(changed: Sequence[_Changed], now: datetime) -> None:
    _UPDATE.run_each([_changes(each) for each in changed if each.before is not None])
    _insert([each for each in changed if each.before is None])
    _LINK.run_each(
        sorted(
            (
                {"of_task": failure.task_id, "incident_id": each.span.incident_id}
                for each in changed
                for failure in each.added
            ),
            key=lambda row: str(row["of_task"]),
        )
    )
    timeline.write([event for each in changed for event in _events(each)])
    noting.note([_reported(each) for each in changed], now=now)


def _leave_earlier(changed: Iterable[_Changed], repeated: Collection[str]) -> None:
    leaving.take_out(
        failure.incident_id
        for each in changed
        for failure in each.added
        if failure.incident_id is not None and failure.task_id in repeated
    )


def _changes(each: _Changed) -> dict[str, object]:
    span = each.span
    return {
        "incident": span.incident_id,
        "added": len(each.added),
        "last_failed_at": span.last_failed_at,
        "quiet_at": span.quiet_at,
        "closed_at": span.closed_at,
    }


def _insert(new: Sequence[_Changed]) -> None:
    if not new:
        return
    found = projects.list_refs({each.name.project_id for each in new})
    rows = [_new_row(each, found[each.name.project_id]) for each in new]
    for each, row in zip(new, db.session.execute(_INSERT, rows), strict=True):
        each.span.incident_id = row.id


def _new_row(each: _Changed, project: ProjectRef) -> dict[str, object]:
    span = each.span
    return {
        "organization_id": project.organization_id,
        "project_id": project.id,
        "name": each.name.name,
        "opened_at": span.opened_at,
        "closed_at": span.closed_at,
        "bad_slots": 0,
        "runs": len(each.added),
        "last_failed_at": span.last_failed_at,
        "quiet_at": span.quiet_at,
        "told": False,
        "owes_recovery": False,
    }


def _events(each: _Changed) -> Iterable[timeline.Entry]:
    span = each.span
    for place, failure in enumerate(each.failed):
        if each.before is None and place == 0:
            yield _event(span, failure.failed_at, "opened", failure.title, failure.task_id)
        elif failure.news:
            kind = "back" if failure.news == "back" else "new_kind"
            yield _event(span, failure.failed_at, kind, failure.title, failure.task_id)
    if span.closed_at is not None:
        kind = "went_quiet" if span.recovered_by is None else "recovered"
        yield _event(span, span.closed_at, kind, "", span.recovered_by)


def _event(span: Span, at: datetime, kind: str, detail: str, task_id: str | None) -> timeline.Entry:
    return timeline.entry(span.incident_id or 0, at, kind, detail, task_id)


def _reported(each: _Changed) -> Reported:
    return Reported(
        incident_id=each.span.incident_id or 0,
        project_id=each.name.project_id,
        name=each.name.name,
        is_new=each.before is None,
        is_closed=each.span.closed_at is not None,
        failures=each.failed,
    )
