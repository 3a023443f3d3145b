"""Retention: deletes kinds of failures that were not seen for long.

One stays as long as a task is kept whose failure it was, while its name is failing, and while
people ignore it.
"""

from sqlalchemy import exists, or_

from taskbadger.models import Incident
from taskbadger.models.failure import IGNORED
from taskbadger.models.incident_rows import FAILURES, KINDS
from taskbadger.services.organizations.retention import History

_kind = KINDS.c

HISTORY = History(
    KINDS,
    ended=_kind.last_seen,
    may_go=_kind.state != IGNORED,
    is_used=or_(
        exists().where(FAILURES.c.kind_id == _kind.id),
        exists().where(
            Incident.project_id == _kind.project_id,
            Incident.name == _kind.name,
            Incident.closed_at.is_(None),
        ),
    ),
)
