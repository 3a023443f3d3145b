"""The timeline of incidents: what happened, who was told, who did what."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert

from taskbadger.extensions import Statement
from taskbadger.models.incident_rows import INCIDENT_EVENTS

_INSERT = Statement(insert(INCIDENT_EVENTS), tuple)

Entry = dict[str, object]
"""The columns of an entry."""


def entry(
    incident_id: int, at: datetime, kind: str, detail: str = "", task_id: str | None = None
) -> Entry:
    """Return an entry of the server; *kind* is one of `domain.incidents.EVENTS`."""
    return {
        "incident_id": incident_id,
        "created": at,
        "kind": kind,
        "actor": "",
        "detail": detail,
        "task_id": task_id,
    }


def write(entries: Sequence[Entry]) -> None:
    """Write entries of any incidents."""
    _INSERT.run_each(entries)
