"""Pausing, muting, resuming and deleting a monitor."""

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import flash, redirect, request, url_for
from marshmallow import ValidationError
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.formats import absolute
from taskbadger.blueprints.dashboard.monitors.monitor import MUTE_HOURS
from taskbadger.blueprints.dashboard.monitors.rows import BASE, find_monitor
from taskbadger.blueprints.dashboard.visit import current_actor
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.domain.monitors import ACTIVE, MUTED, PAUSED
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.schemas.fields import Moment
from taskbadger.services.monitors import manage


@blp.page(f"{BASE}/<id>/status", role=roles.CHANGE_MONITORS, methods=["POST"])
def set_monitor_status(id: str) -> Response:
    """Pause, mute or resume a monitor."""
    found, project = find_monitor(id)
    now, status = utcnow(), request.form.get("status", "")
    changes: dict[str, Any] = {"status": status if status in (PAUSED, MUTED) else ACTIVE}
    words = {PAUSED: "paused. Expected runs are skipped", ACTIVE: "active"}
    try:
        if changes["status"] == MUTED:
            changes["muted_until"] = until = _muted_until(now)
            words[MUTED] = _mute_words(until)
        manage.update_monitor(project, found.id, changes, now=now, actor=current_actor())
    except ValidationFailed as error:
        flash(error.errors[0].detail, "error")
        return redirect(url_for("dashboard.monitor", id=id), 303)
    db.session.commit()
    flash(f"The monitor is {words[changes['status']]}.", "success")
    return redirect(url_for("dashboard.monitor", id=id), 303)


def _mute_words(until: datetime | None) -> str:
    """Return words for a mute: a duration as chosen, since it reads the same in every zone."""
    hours = {str(number): words for number, words in MUTE_HOURS}.get(request.form.get("hours", ""))
    if until is None or hours:
        return f"muted {hours}" if hours else "muted"
    return f"muted until {absolute(until)}"


def _muted_until(now: datetime) -> datetime | None:
    """Return when a mute ends, from a number of hours or a time in UTC; None for never."""
    hours, until = request.form.get("hours", ""), request.form.get("until", "").strip()
    if hours in {str(number) for number, _ in MUTE_HOURS}:
        return now + timedelta(hours=int(hours))
    if hours != "until":
        return None
    try:
        moment: datetime = Moment().deserialize(until)
    except ValidationError as error:
        raise ValidationFailed.one("until", "Enter a date and time to mute until.") from error
    return moment.astimezone(UTC)


@blp.page(f"{BASE}/<id>/delete", role=roles.CHANGE_MONITORS, methods=["POST"])
def delete_monitor(id: str) -> Response:
    """Delete a monitor; its tasks are kept."""
    found, project = find_monitor(id)
    name = found.name
    manage.delete_monitor(project, found.id, now=utcnow(), actor=current_actor())
    db.session.commit()
    flash(f"The monitor {name} has been deleted.", "success")
    return redirect(url_for("dashboard.monitor_list"), 303)
