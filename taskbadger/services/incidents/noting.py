"""Noting: which global actions tell of an incident, and when they are to be asked next.

A notice is written for each global action in the mode ``incident`` whose trigger a failed run of
the incident reaches. Nothing is sent here: ``notices`` tells when the notice is due.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from sqlalchemy import Table, bindparam, insert, select, update

from taskbadger.domain import patterns, triggers
from taskbadger.domain.fingerprints import OVERDUE
from taskbadger.domain.status import ERROR, STALE
from taskbadger.extensions import Statement, db
from taskbadger.models import GlobalAction, Project
from taskbadger.models.action import INCIDENT
from taskbadger.models.incident_rows import NOTICE_COLUMNS, NOTICES, FailureRow, NoticeRow
from taskbadger.models.task_rows import columns_of

_GLOBAL_ACTION = cast(Table, GlobalAction.__table__)
_notice = NOTICES.c
_INSERT = Statement(insert(NOTICES), tuple)
_UPDATE = Statement(update(NOTICES).where(_notice.id == bindparam("notice")), tuple)


class Reported(NamedTuple):
    """An incident that opened, changed or closed."""

    incident_id: int
    project_id: int
    name: str
    is_new: bool
    is_closed: bool
    failures: Sequence[FailureRow]
    """Those that were followed, in order."""


class ToldMonitor(NamedTuple):
    """A monitor that was just told to fail."""

    incident_id: int
    targets: str
    """JSON: who was told."""
    remind_after: int
    escalation: str
    """JSON: the steps."""

    @property
    def next_after(self) -> int | None:
        """After how many seconds something else is to be told; None for never."""
        times = [step["after"] for step in json.loads(self.escalation)[:1]]
        return min([*times, *([self.remind_after] if self.remind_after else [])], default=None)


class WatchingAction(NamedTuple):
    """What is read of a global action in the mode ``incident``."""

    id: int
    organization_id: int
    project_id: int | None
    name_pattern: str
    trigger: str
    wait_for_retry: int

    def is_about(self, project_id: int, name: str) -> bool:
        """Say whether it watches tasks of that project and name."""
        if self.project_id is not None and self.project_id != project_id:
            return False
        return patterns.matches(self.name_pattern, name)


def causes_of(trigger: str) -> list[str]:
    """Return the causes of failures that reach a trigger."""
    parsed = triggers.parse(trigger)
    causes = [status for status in (ERROR, STALE) if status in parsed.statuses]
    # Running too long ends a task as an error.
    return causes + ([OVERDUE] if parsed.wants_overrun or ERROR in causes else [])


def note(reported: Sequence[Reported], *, now: datetime) -> None:
    """Write the notices about incidents that opened, changed or closed."""
    known = _list_notices([each.incident_id for each in reported if not each.is_new])
    actions = _list_actions({each.project_id for each in reported if each.failures})
    new, changed = [], []
    for each in reported:
        for action in actions.get(each.project_id, ()):
            causes = causes_of(action.trigger)
            reaching = [one for one in each.failures if one.cause in causes]
            if not reaching or not action.is_about(each.project_id, each.name):
                continue
            notice = known.get((each.incident_id, action.id))
            if notice is None:
                new.append(_new_notice(each, action, reaching))
            elif not notice.is_over:
                changed.append(_changes(notice, action, reaching))
    _INSERT.run_each(new)
    _UPDATE.run_each(changed)
    wake([each.incident_id for each in reported if each.is_closed], now=now)


def note_monitors(told: Sequence[ToldMonitor], *, now: datetime) -> None:
    """Write the notices of monitors that were just told to fail, and that tell more later."""
    _INSERT.run_each([_monitor_notice(each, now) for each in told if each.next_after is not None])


def wake(incident_ids: Collection[int], *, now: datetime) -> None:
    """Look at the notices of incidents that closed; a first message goes on waiting."""
    if not incident_ids:
        return
    waits = _notice.told_at.is_(None) & _notice.next_at.is_not(None)
    db.session.execute(
        update(NOTICES)
        .where(_notice.incident_id.in_(list(incident_ids)), ~_notice.is_over, ~waits)
        .values(next_at=now)
    )


def _monitor_notice(told: ToldMonitor, now: datetime) -> dict[str, object]:
    return {
        **_EMPTY,
        "incident_id": told.incident_id,
        "global_action_id": None,
        "task_id": None,
        "told_at": now,
        "last_told_at": now,
        "steps_from": now,
        "targets": told.targets,
        "news_at": None,
        "next_at": now + timedelta(seconds=told.next_after or 0),
    }


_EMPTY: dict[str, object] = {
    "told_at": None,
    "last_told_at": None,
    "messages": 0,
    "targets": "[]",
    "steps": 0,
    "steps_from": None,
    "paused_at": None,
    "held": False,
    "told_kinds": "[]",
    "is_over": False,
}


def _list_notices(incident_ids: Sequence[int]) -> dict[tuple[int, int], NoticeRow]:
    """Return notices, locked: a worker that tells must not overwrite what is noted."""
    if not incident_ids:
        return {}
    rows = db.session.execute(
        select(*NOTICE_COLUMNS)
        .where(_notice.incident_id.in_(incident_ids), _notice.global_action_id.is_not(None))
        .order_by(_notice.id)
        .with_for_update()
    )
    return {(row.incident_id, row.global_action_id or 0): row for row in map(NoticeRow._make, rows)}


def _list_actions(project_ids: Collection[int]) -> dict[int, list[WatchingAction]]:
    """Return the global actions in the mode ``incident``, by project."""
    if not project_ids:
        return {}
    rows = db.session.execute(
        select(Project.id.label("watched"), *columns_of(WatchingAction, _GLOBAL_ACTION))
        .join(Project, Project.organization_id == _GLOBAL_ACTION.c.organization_id)
        .where(
            Project.id.in_(project_ids),
            _GLOBAL_ACTION.c.enabled,
            _GLOBAL_ACTION.c.mode == INCIDENT,
        )
        .order_by(_GLOBAL_ACTION.c.id)
    )
    found: dict[int, list[WatchingAction]] = {}
    for project_id, *columns in rows:
        found.setdefault(project_id, []).append(WatchingAction._make(columns))
    return found


def _new_notice(
    each: Reported, action: WatchingAction, reaching: Sequence[FailureRow]
) -> dict[str, object]:
    wait = timedelta(seconds=action.wait_for_retry)
    return {
        **_EMPTY,
        "incident_id": each.incident_id,
        "global_action_id": action.id,
        "task_id": reaching[0].task_id,
        "news_at": _news_at(reaching[1:], wait),
        "next_at": reaching[0].failed_at + wait,
    }


def _changes(
    notice: NoticeRow, action: WatchingAction, reaching: Sequence[FailureRow]
) -> dict[str, object]:
    wait = timedelta(seconds=action.wait_for_retry)
    times = [notice.news_at, _news_at(reaching, wait)]
    news_at = min((time for time in times if time is not None), default=None)
    next_at = notice.next_at
    if next_at is None and notice.told_at is None:
        next_at = reaching[0].failed_at + wait
    elif news_at is not None and notice.told_at is not None:
        next_at = news_at if next_at is None else min(next_at, news_at)
    return {"notice": notice.id, "news_at": news_at, "next_at": next_at}


def _news_at(failures: Sequence[FailureRow], wait: timedelta) -> datetime | None:
    """Return when to tell of the first failure of a new kind."""
    return min((failure.failed_at + wait for failure in failures if failure.news), default=None)
