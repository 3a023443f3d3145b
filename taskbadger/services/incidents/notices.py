"""Notices: tells what is due about incidents, and notes when to look again.

``domain/escalation.py`` decides. A notice, its messages and the entries of the timeline are written
in one transaction, and each message has a key of its own: so each is queued once, however many
workers there are, and whenever one of them dies.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Table, bindparam, select, update

from taskbadger.extensions import Statement, db
from taskbadger.models import GlobalAction, Incident
from taskbadger.models.incident_rows import (
    NOTICE_COLUMNS,
    NOTICES,
    TOLD_INCIDENT_COLUMNS,
    NoticeRow,
    ToldIncidentRow,
)
from taskbadger.services.delivery import outbox, windows
from taskbadger.services.incidents import noting, tellers, timeline
from taskbadger.services.incidents.messages import Context
from taskbadger.services.incidents.telling import Telling, Written
from taskbadger.services.organizations import projects

_INCIDENT = cast(Table, Incident.__table__)
_GLOBAL_ACTION = cast(Table, GlobalAction.__table__)
_notice = NOTICES.c
_DUE = _notice.next_at <= bindparam("now", type_=_notice.next_at.type)
_LOCK = (
    select(*NOTICE_COLUMNS)
    .where(_notice.id.in_(bindparam("ids", expanding=True)), _DUE)
    .order_by(_notice.id)
    .with_for_update(skip_locked=True)
)
_ENDS_WITH_A_CHANGE = (
    select(_INCIDENT.c.id)
    .where(
        _INCIDENT.c.id.in_(
            select(_notice.incident_id).where(_notice.id.in_(bindparam("ids", expanding=True)))
        ),
        _INCIDENT.c.snoozed_at.is_not(None),
        _INCIDENT.c.snoozed_until.is_(None),
    )
    .order_by(_INCIDENT.c.id)
    .with_for_update(key_share=True)
)
"""Incidents that are snoozed until something changes. A message about one ends the snooze, so it is
locked first, as by people and by those who follow the history: then its notices."""
_UPDATE = Statement(update(NOTICES).where(_notice.id == bindparam("notice")), tuple)


def list_due(*, now: datetime, limit: int, without: Sequence[int] = ()) -> Sequence[int]:
    """Return up to *limit* notices that are due, the longest overdue first; only reads.

    Those in *without* are left out.
    """
    query = select(_notice.id).where(_DUE).order_by(_notice.next_at).limit(limit)
    if without:
        query = query.where(_notice.id.not_in(without))
    return db.session.scalars(query, {"now": now}).all()


def tell_due(
    notice_ids: Sequence[int], *, now: datetime, followed_until: datetime, base_url: str
) -> int:
    """Tell what is due of these notices; return how many were due.

    Those that another worker has locked are left for it. What waits for a retry waits until the
    history has been followed up to its time, *followed_until*.
    """
    unsnoozable = set(db.session.scalars(_ENDS_WITH_A_CHANGE, {"ids": list(notice_ids)}))
    rows = db.session.execute(_LOCK, {"ids": list(notice_ids), "now": now})
    due = [NoticeRow._make(row) for row in rows]
    if not due:
        return 0
    incidents = _list_incidents({notice.incident_id for notice in due})
    actions = tellers.lock_global_actions({notice.global_action_id for notice in due} - {None})
    monitors = tellers.list_monitors({each.monitor_id for each in incidents.values()} - {None}, now)
    places = projects.list_refs({incident.project_id for incident in incidents.values()})
    context = Context(
        places,
        now,
        followed_until,
        base_url,
        windows.list_active_of({place.organization_id for place in places.values()}, now=now),
        unsnoozable,
    )
    written = Written()
    for notice in due:
        incident = incidents[notice.incident_id]
        teller = actions.get(notice.global_action_id or 0) or monitors.get(incident.monitor_id)
        Telling(notice, incident, teller, context, written).tell()
    _write(written, now)
    return len(due)


def step_back(by: timedelta, *, now: datetime) -> None:
    """Move what is due in the future earlier, because the clock was set back *by* that much."""
    rows = db.session.execute(
        select(_notice.id, _notice.next_at, _notice.last_told_at, _notice.steps_from)
        .where(_notice.next_at > now)
        .order_by(_notice.id)
        .with_for_update(skip_locked=True)
    ).all()
    _UPDATE.run_each(
        [
            {
                "notice": row.id,
                "next_at": max(row.next_at - by, now),
                "last_told_at": row.last_told_at and min(row.last_told_at, now),
                "steps_from": row.steps_from and min(row.steps_from, now),
            }
            for row in rows
        ]
    )


def _list_incidents(ids: set[int]) -> dict[int, ToldIncidentRow]:
    query = select(*TOLD_INCIDENT_COLUMNS).where(_INCIDENT.c.id.in_(ids))
    return {row.id: ToldIncidentRow._make(row) for row in db.session.execute(query)}


def _write(written: Written, now: datetime) -> None:
    timeline.write(written.events)
    _UPDATE.run_each(written.changes)
    if written.ended_snoozes:
        db.session.execute(
            update(_INCIDENT)
            .where(_INCIDENT.c.id.in_(written.ended_snoozes), _INCIDENT.c.snoozed_until.is_(None))
            .values(snoozed_at=None)
        )
        noting.wake(written.ended_snoozes, now=now)
    for action_id, until in written.quiet_until.items():
        db.session.execute(
            update(_GLOBAL_ACTION).where(_GLOBAL_ACTION.c.id == action_id).values(quiet_until=until)
        )
    outbox.queue_all(written.outgoing, now=now)
