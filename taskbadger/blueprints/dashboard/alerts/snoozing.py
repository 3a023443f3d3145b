"""How long to snooze an incident, as forms of pages ask."""

from datetime import datetime

from flask import request

from taskbadger.domain.snoozes import snooze_end
from taskbadger.errors import ValidationFailed


def read_snooze(*, now: datetime) -> datetime | None:
    """Return when the snooze of this form ends; None for when the incident changes.

    Without scripts, nobody knows the visitor's time zone. Raises ValidationFailed.
    """
    zone = request.form.get("zone", "") or "UTC"
    try:
        return snooze_end(request.form.get("for", ""), now=now, timezone=zone)
    except KeyError as error:
        raise ValidationFailed.one("for", "Choose for how long.") from error
