"""Leaving: failed runs that no longer count in their incidents."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import cast

from sqlalchemy import Table, delete, select, update

from taskbadger.extensions import db
from taskbadger.models import Incident
from taskbadger.models.incident_rows import NOTICES

_INCIDENTS = cast(Table, Incident.__table__)
_incident = _INCIDENTS.c


def take_out(incident_ids: Iterable[int]) -> None:
    """Count one failed run less in each incident, as often as it is named.

    One without any is deleted, unless someone was told.
    """
    counts = Counter(incident_ids)
    for incident_id, count in sorted(counts.items()):
        db.session.execute(
            update(_INCIDENTS)
            .where(_incident.id == incident_id)
            .values(runs=_incident.runs - count)
        )
    if counts:
        _delete_empty(list(counts))


def _delete_empty(incident_ids: Sequence[int]) -> None:
    """Delete the incidents that have no failed run left, and that nobody was told of."""
    # A worker that tells now holds its notice: wait for it, and see what it told.
    rows = db.session.execute(
        select(NOTICES.c.incident_id, NOTICES.c.told_at)
        .where(NOTICES.c.incident_id.in_(incident_ids))
        .order_by(NOTICES.c.id)
        .with_for_update()
    )
    told = {row.incident_id for row in rows if row.told_at is not None}
    empty = [incident_id for incident_id in incident_ids if incident_id not in told]
    if empty:
        db.session.execute(
            delete(_INCIDENTS).where(
                _incident.id.in_(empty),
                _incident.runs <= 0,
                _incident.acknowledged_at.is_(None),
                _incident.snoozed_at.is_(None),
            )
        )
