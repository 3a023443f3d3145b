"""Keys of the messages about incidents, by which each is queued once and found again."""

from uuid import UUID

from taskbadger.schemas.monitors import MAX_TARGETS

_TARGETS = range(MAX_TARGETS)
_MAX_NUMBER = 100
"""With more messages before it, a recovery is surely one of what was told."""


def of_monitor(kind: str, monitor_id: UUID | str, incident_id: int | str, place: int) -> str:
    """Return the key of what a monitor itself tells its target in this *place*."""
    # Includes the monitor, because SQLite reuses the ids of deleted incidents.
    return f"{kind} {monitor_id} {incident_id} {place}"


def of_failing(monitor_id: UUID | str, incident_id: int | str) -> list[str]:
    """Return the keys of all messages in which a monitor told that it fails."""
    return [of_monitor("monitor_failing", monitor_id, incident_id, place) for place in _TARGETS]


def of_notice(incident_id: int | str, notice_id: int | str, number: int, place: int) -> str:
    """Return the key of message *number* of a notice to the target in this *place*."""
    return f"incident {incident_id} {notice_id} {number} {place}"


def earlier(key: str) -> list[str]:
    """Return the keys that messages about the same incident had before that with this *key*."""
    kind, *rest = key.split(" ")
    if kind == "monitor_recovered":
        monitor_id, incident_id, _ = rest
        return of_failing(monitor_id, incident_id)
    if kind != "incident":
        return []
    incident_id, notice_id, number, _ = rest
    if int(number) > _MAX_NUMBER:
        return []
    return [
        of_notice(incident_id, notice_id, before, place)
        for before in range(int(number))
        for place in _TARGETS
    ]
