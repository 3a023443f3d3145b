"""Retention: deletes incidents that closed long ago, with their timelines and notices.

One stays as long as a task that failed in it is kept, or somebody is still to be told.
"""

from typing import cast

from sqlalchemy import Table, exists, or_

from taskbadger.models import Incident
from taskbadger.models.incident_rows import FAILURES, NOTICES
from taskbadger.services.organizations.retention import History

_INCIDENTS = cast(Table, Incident.__table__)
_incident = _INCIDENTS.c

HISTORY = History(
    _INCIDENTS,
    ended=_incident.closed_at,
    may_go=~_incident.owes_recovery,
    is_used=or_(
        exists().where(FAILURES.c.incident_id == _incident.id),
        exists().where(NOTICES.c.incident_id == _incident.id, NOTICES.c.next_at.is_not(None)),
    ),
)
