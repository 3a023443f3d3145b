"""Alerts: what was sent, what waits, and what was given up, with another try."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from flask import Response as FlaskResponse
from flask import flash, redirect, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.alerts.global_actions import BASE, count_dead, render_alerts
from taskbadger.blueprints.dashboard.shared import share
from taskbadger.blueprints.dashboard.visit import current_actor, current_member
from taskbadger.channels import Message
from taskbadger.channels.text import plain
from taskbadger.clock import to_wire, utcnow
from taskbadger.domain import roles
from taskbadger.errors import Conflict
from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.models.delivery import DEAD, DROPPED, SENDING, STATES, WAITING
from taskbadger.schemas.fields import printable
from taskbadger.services.delivery import channels, dead_letters, lists
from taskbadger.services.pagination import Cursor, Page, read_cursor
from taskbadger.services.stats import overview
from taskbadger.services.stats.overview import DeadCause

PAGE_SIZE = 50
RETRYING = "retrying"
"""What the page calls a delivery that waits after a try that failed."""
FAILED_TEST = "failed-test"
"""What the page calls a test of a channel that failed: no alert was lost."""
_STORED = {RETRYING: "", FAILED_TEST: DEAD}
_WORDS = {DEAD: "undelivered", DROPPED: "not sent", FAILED_TEST: "failed tests"}
_STATES = (STATES[0], RETRYING, *STATES[1:], FAILED_TEST)
STATE_WORDS = tuple((state, _WORDS.get(state, state)) for state in _STATES)
SPANS = (
    ("", "any time"),
    ("1", "in the last hour"),
    ("24", "in the last day"),
    ("168", "in the last week"),
)


@blp.page(f"{BASE}/deliveries/", role=roles.READ)
def delivery_list_page() -> FlaskResponse:
    """Show the deliveries, newest first."""
    text = request.args.get("cursor")
    cursor = read_cursor(text, parts=1) if text else None
    asked, number, now = read_asked(request.args), current_member().organization_id, utcnow()
    page = lists.list_deliveries(number, _filters(asked), cursor, PAGE_SIZE)
    holds = lists.holds_of(page.rows, now=now)
    version = [
        (
            delivery.id,
            delivery.state,
            delivery.attempts,
            delivery.next_attempt_at,
            delivery.held_by,
            holds.get(delivery.destination),
        )
        for delivery in page.rows
    ]
    return render_alerts("deliveries.html", version, lambda: _list_context(asked, page, holds, now))


def _list_context(
    asked: dict[str, str], page: Page[Delivery], holds: dict[str, datetime], now: datetime
) -> dict[str, Any]:
    rows = page.rows
    waiting = [row for row in rows if row.state == WAITING]
    return {
        "rows": rows,
        "about": lists.about_of(rows),
        "waiting": {row.id: lists.waiting_of(row, holds, now=now) for row in waiting},
        "cause_href": cause_href,
        "asked": asked,
        "dead_here": _count_dead_here(asked),
        "states": [("", "all states"), *STATE_WORDS],
        "channels": _channels(asked["channel"]),
        "spans": SPANS,
        "newer": _page_href(asked, page.previous),
        "older": _page_href(asked, page.next),
        "moving": any(row.state == SENDING for row in rows),
    }


def cause_href(delivery: Delivery | DeadCause) -> str:
    """Return the list of what was given up for the same cause."""
    asked: dict[str, Any] = {
        "state": DEAD,
        "channel": delivery.integration,
        "error": delivery.error,
    }
    return url_for("dashboard.delivery_list_page", **asked)


def _count_dead_here(asked: dict[str, str]) -> int:
    """Return how many were given up of what the list is narrowed to, if it is."""
    if not asked["channel"]:
        return count_dead() if asked["state"] == DEAD else 0
    number = current_member().organization_id
    return overview.count_dead(number, asked["channel"], asked["error"])


def read_asked(given: Mapping[str, str]) -> dict[str, str]:
    """Return the filters of a URL or a form; what the page does not offer does not count."""
    state, hours = given.get("state", ""), given.get("hours", "")
    channel = printable(given.get("channel", ""))
    found = {
        "state": state if state in _STATES else "",
        "channel": channel if len(channel) <= 50 else "",
        "hours": hours if hours in dict(SPANS) else "",
        "error": "",
    }
    if found["state"] == DEAD and found["channel"]:  # An index finds few.
        # A form sends line breaks in its own way.
        found["error"] = given.get("error", "").replace("\r\n", "\n").replace("\x00", "")
    return found


def _filters(asked: dict[str, str]) -> lists.Filters:
    """Return the filters as the service has them."""
    state = asked["state"]
    found = {"state": _STORED.get(state, state), "channel": asked["channel"]}
    if asked["hours"]:
        found["since"] = to_wire(utcnow() - timedelta(hours=int(asked["hours"])))
    return replace(
        lists.read_filters(found),
        retrying=state == RETRYING,
        tests={DEAD: False, FAILED_TEST: True}.get(state),
        error=asked["error"],
    )


def _channels(chosen: str) -> list[tuple[str, str]]:
    known = [
        channels.integration_of(channel)
        for channel in channels.list_channels(current_member().organization_id)
    ]
    names = [channels.EMAIL, *known]
    if chosen and chosen not in names:
        names.append(chosen)
    return [("", "all channels"), *((name, name) for name in names)]


def _page_href(asked: dict[str, str], cursor: Cursor | None) -> str | None:
    if cursor is None:
        return None
    given: dict[str, Any] = {name: value for name, value in asked.items() if value}
    return url_for("dashboard.delivery_list_page", **given, cursor=cursor.write())


@blp.page(f"{BASE}/deliveries/<id>/", role=roles.READ)
def delivery(id: str) -> FlaskResponse:
    """Show one delivery: what it says, why, and every try."""
    number = current_member().organization_id
    version = share(("delivery", number, id), lambda: lists.find_version(number, id))
    return render_alerts("delivery.html", version, lambda: _context(number, id))


def _context(organization_id: int, delivery_id: str) -> dict[str, Any]:
    found = lists.get_delivery(organization_id, delivery_id)
    firings, now = lists.firings_of([found]), utcnow()
    message = Message.from_json(found.message)
    return {
        "delivery": found,
        "message": message,
        "text": plain(message),
        "firing": next(iter(firings.values()), None),
        "waiting": lists.waiting_of(found, lists.holds_of([found], now=now), now=now)
        if found.state == WAITING
        else None,
        "cause_href": cause_href,
        "attempts": lists.list_attempts(delivery_id)[::-1],
        "to": json.loads(found.config).get("to", ""),
        "moving": found.state == SENDING,
    }


@blp.page(f"{BASE}/deliveries/<id>/replay", role=roles.CHANGE_ALERTS, methods=["POST"])
def replay_delivery(id: str) -> Response:
    """Try a delivery again that was given up, or now instead of later."""
    organization_id = current_member().organization_id
    found = lists.get_delivery(organization_id, id)
    is_retrying = found.state == WAITING and found.attempts > 0
    send_again = dead_letters.retry_now if is_retrying else dead_letters.replay
    try:
        send_again(organization_id, id, actor=current_actor(), now=utcnow())
    except Conflict as error:
        return _back(id, error.detail, "error")
    db.session.commit()
    return _back(id, "Queued for another attempt.", "success")


@blp.page(f"{BASE}/deliveries/<id>/dismiss", role=roles.CHANGE_ALERTS, methods=["POST"])
def dismiss_delivery(id: str) -> Response:
    """Count a delivery no more that was given up; it stays in the list."""
    organization_id = current_member().organization_id
    try:
        dead_letters.dismiss(organization_id, id, actor=current_actor(), now=utcnow())
    except Conflict as error:
        return _back(id, error.detail, "error")
    db.session.commit()
    return _back(id, "Dismissed.", "success")


def _back(delivery_id: str, message: str, category: str) -> Response:
    flash(message, category)
    return redirect(url_for("dashboard.delivery", id=delivery_id), 303)
