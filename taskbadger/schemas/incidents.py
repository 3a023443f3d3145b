"""The API schemas of incidents."""

from collections.abc import Sequence
from urllib.parse import quote

from marshmallow import fields

from taskbadger.clock import to_wire
from taskbadger.domain.incidents import EVENTS
from taskbadger.models import Incident as IncidentRow
from taskbadger.models import IncidentEvent as EventRow
from taskbadger.models.incident_rows import ToldIncidentRow
from taskbadger.schemas.accounts import show_moment
from taskbadger.schemas.fields import Choice, Moment, RequestSchema
from taskbadger.schemas.pagination import RESULTS, PageOfList


class Incident(RequestSchema):
    """The time in which a monitor, or the tasks of one name, were failing."""

    id = fields.Integer(required=True, metadata={"description": "ID of the incident"})
    project = fields.String(required=True, metadata={"description": "Slug of the project"})
    name = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Name of the tasks that fail; null for a monitor."},
    )
    monitor = fields.UUID(
        required=True,
        allow_none=True,
        metadata={"description": "ID of the monitor that fails; null for a name."},
    )
    opened = Moment(required=True, metadata={"description": "When it began."})
    closed = Moment(
        required=True, allow_none=True, metadata={"description": "When it ended; null while open."}
    )
    runs = fields.Integer(
        required=True,
        metadata={
            "description": "Number of failed runs, without those that were tried again; of a "
            "monitor, also those that were missed."
        },
    )
    failures = fields.List(
        fields.Integer(),
        required=True,
        metadata={"description": "IDs of its failure kinds; empty for a monitor."},
    )
    acknowledged = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When someone acknowledged it; null if nobody has."},
    )
    acknowledged_by = fields.String(
        required=True, allow_none=True, metadata={"description": "Who is on it: a person or a key."}
    )
    snoozed = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When it was snoozed; null if it is not."},
    )
    snoozed_until = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When the snooze ends; null for when the incident changes."},
    )


class IncidentEvent(RequestSchema):
    """An entry of an incident's timeline."""

    created = Moment(required=True, metadata={"description": "When it happened."})
    kind = Choice(EVENTS, required=True, metadata={"description": "What happened."})
    actor = fields.String(
        required=True, allow_none=True, metadata={"description": "Who did it; null for the server."}
    )
    detail = fields.String(
        required=True,
        metadata={"description": "In words, such as the channels that were told."},
    )
    task = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "ID of the task that it is about, if any"},
    )


class IncidentDetail(Incident):
    """An incident, and what happened to it."""

    timeline = fields.List(
        fields.Nested(IncidentEvent),
        required=True,
        metadata={"description": "The latest 1,000 entries, oldest first."},
    )


class SnoozeRequest(RequestSchema):
    """How long an incident is to be silent."""

    until = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When the snooze ends; null for when the incident changes."},
    )


class PaginatedIncidentList(PageOfList):
    """A page of incidents, newest first."""

    results = fields.List(fields.Nested(Incident), required=True, metadata=RESULTS)


def show_incident(
    incident: IncidentRow | ToldIncidentRow, *, project: str, failures: Sequence[int]
) -> dict[str, object]:
    """Return what *Incident* describes; messages have it, too.

    *project* is the slug, *failures* are the ids of its failure kinds.
    """
    monitor = incident.monitor_id
    return {
        "id": incident.id,
        "project": project,
        "name": incident.name,
        "monitor": None if monitor is None else str(monitor),
        "opened": to_wire(incident.opened_at),
        "closed": show_moment(incident.closed_at),
        "runs": incident.runs if monitor is None else incident.bad_slots,
        "failures": list(failures),
        "acknowledged": show_moment(incident.acknowledged_at),
        "acknowledged_by": incident.acknowledged_by,
        "snoozed": show_moment(incident.snoozed_at),
        "snoozed_until": show_moment(incident.snoozed_until),
    }


def show_event(event: EventRow) -> dict[str, object]:
    """Return what *IncidentEvent* describes."""
    return {
        "created": to_wire(event.created),
        "kind": event.kind,
        "actor": event.actor or None,
        "detail": event.detail,
        "task": event.task_id,
    }


def incident_url(base_url: str, organization: str, incident_id: int) -> str | None:
    """Return the URL of the incident's page; None without a *base_url*."""
    return f"{base_url}/a/{quote(organization)}/incidents/{incident_id}/" if base_url else None
