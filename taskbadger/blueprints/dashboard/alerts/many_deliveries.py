"""Retrying and dismissing many deliveries at once: those selected, or all of a channel or a cause.

A cause is what deliveries of one channel with the same error have in common.
"""

from typing import Any

from flask import flash, redirect, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.alerts.deliveries import read_asked
from taskbadger.blueprints.dashboard.alerts.global_actions import BASE
from taskbadger.blueprints.dashboard.visit import current_actor, current_member
from taskbadger.clock import utcnow
from taskbadger.domain import ids, roles
from taskbadger.errors import Conflict
from taskbadger.extensions import db
from taskbadger.services.delivery import dead_letters

MAX_SELECTED = 100
RETRIED = "queued for another attempt"


@blp.page(f"{BASE}/deliveries/retry-selected", role=roles.CHANGE_ALERTS, methods=["POST"])
def retry_selected_deliveries() -> Response:
    """Try the selected deliveries again."""
    count = dead_letters.retry_selected(**_selection())
    db.session.commit()
    return _back(count, RETRIED)


@blp.page(f"{BASE}/deliveries/dismiss-selected", role=roles.CHANGE_ALERTS, methods=["POST"])
def dismiss_selected_deliveries() -> Response:
    """Dismiss the selected deliveries that were given up."""
    count = dead_letters.dismiss_selected(**_selection())
    db.session.commit()
    return _back(count, "dismissed")


def _selection() -> dict[str, Any]:
    return {
        "organization_id": current_member().organization_id,
        "delivery_ids": [
            found for found in request.form.getlist("delivery") if ids.to_bytes(found) is not None
        ][:MAX_SELECTED],
        "actor": current_actor(),
        "now": utcnow(),
    }


@blp.page(f"{BASE}/deliveries/dismiss", role=roles.CHANGE_ALERTS, methods=["POST"])
def dismiss_deliveries() -> Response:
    """Dismiss all deliveries that were given up, of one channel or of all."""
    count = dead_letters.dismiss_all(**_asked())
    db.session.commit()
    return _back(count, "dismissed")


@blp.page(f"{BASE}/deliveries/replay", role=roles.CHANGE_ALERTS, methods=["POST"])
def replay_channel() -> Response:
    """Try all deliveries of a channel again that were given up."""
    count = dead_letters.replay_channel(**_asked())
    db.session.commit()
    return _back(count, RETRIED)


def _asked() -> dict[str, Any]:
    asked = read_asked(request.form)
    return {
        "organization_id": current_member().organization_id,
        "integration": asked["channel"],
        "error": asked["error"],
        "actor": current_actor(),
        "now": utcnow(),
    }


@blp.page(f"{BASE}/deliveries/<id>/replay-cause", role=roles.CHANGE_ALERTS, methods=["POST"])
def replay_cause(id: str) -> Response:
    """Try all deliveries again that were given up for the cause of one, and show the overview."""
    organization_id = current_member().organization_id
    try:
        count = dead_letters.replay_cause(organization_id, id, actor=current_actor(), now=utcnow())
    except Conflict as error:
        flash(error.detail, "error")
    else:
        db.session.commit()
        _say(count, RETRIED)
    return redirect(url_for("dashboard.overview"), 303)


def _say(count: int, outcome: str) -> None:
    words = dead_letters.counted(count) if count else "No delivery"
    flash(f"{words} {outcome}.", "success" if count else "warning")


def _back(count: int, outcome: str) -> Response:
    """Return to the list as it was filtered, and say what was done."""
    _say(count, outcome)
    asked: dict[str, Any] = {
        name: value for name, value in read_asked(request.form).items() if value
    }
    return redirect(url_for("dashboard.delivery_list_page", **asked), 303)
