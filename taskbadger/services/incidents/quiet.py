"""Quiet: what moves the times at which open incidents of names close without a success."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Table, bindparam, select, update

from taskbadger.domain.identity import Actor
from taskbadger.extensions import Statement, db
from taskbadger.models import Incident, Project
from taskbadger.models.types import Condition
from taskbadger.services.organizations import projects

_INCIDENTS = cast(Table, Incident.__table__)
_incident = _INCIDENTS.c
_MOVE = Statement(update(_INCIDENTS).where(_incident.id == bindparam("incident")), tuple)


def change_project(
    project: Project, values: Mapping[str, object], *, actor: Actor, now: datetime
) -> None:
    """Change a project; a new ``quiet_after`` also counts for its open incidents."""
    before = project.quiet_after
    projects.change_project(project, values, actor=actor, now=now)
    if project.quiet_after != before:
        db.session.flush()
        _move(
            timedelta(seconds=project.quiet_after - before),
            _incident.project_id == project.id,
            _incident.quiet_at.is_not(None),
        )


def extend(start: datetime, end: datetime) -> None:
    """Let open incidents go quiet later by an outage of ours.

    Nobody could report a failure meanwhile.
    """
    _move(end - start, _incident.quiet_at > start)


def _move(by: timedelta, *where: Condition) -> None:
    rows = db.session.execute(
        select(_incident.id, _incident.quiet_at)
        .where(_incident.closed_at.is_(None), *where)
        .order_by(_incident.id)
        .with_for_update(key_share=True)
    )
    _MOVE.run_each([{"incident": row.id, "quiet_at": row.quiet_at + by} for row in rows])
