"""Alerts: what was sent, what waits, and what was given up, with another try."""

import json
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
from taskbadger.models.delivery import DEAD, SENDING, STATES, WAITING
from taskbadger.schemas.fields import printable
from taskbadger.services.delivery import channels, dead_letters, lists
from taskbadger.services.pagination import Cursor, Page, read_cursor
from taskbadger.services.stats import overview

PAGE_SIZE = 50
RETRYING = "retrying"
"""What the page calls a delivery that waits after a try that failed."""
_WORDS = {DEAD: "undelivered"}
_STATES = (STATES[0], RETRYING, *STATES[1:])
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
    asked, number, now = _asked(), current_member().organization_id, utcnow()
    page = lists.list_deliveries(number, _filters(asked), cursor, PAGE_SIZE)
    holds = lists.holds_of(page.rows, now=now)
    version = [
        (
            delivery.id,
            delivery.state,
            delivery.attempts,
            delivery.next_attempt_at,
            holds.get(delivery.destination),
        )
        for delivery in page.rows
    ]
    return render_alerts("deliveries.html", version, lambda: _list_context(asked, page, holds))


def _list_context(
    asked: dict[str, str], page: Page[Any], holds: dict[str, datetime]
) -> dict[str, Any]:
    rows = page.rows
    return {
        "rows": rows,
        "about": lists.about_of(rows),
        "holds": holds,
        "asked": asked,
        "dead_here": _count_dead_here(asked),
        "states": [("", "all states"), *STATE_WORDS],
        "channels": _channels(asked["channel"]),
        "spans": SPANS,
        "newer": _page_href(asked, page.previous),
        "older": _page_href(asked, page.next),
        "moving": any(row.state == SENDING for row in rows),
    }


def _count_dead_here(asked: dict[str, str]) -> int:
    """Return how many were given up of the channel that the list is narrowed to, if it is."""
    if not asked["channel"]:
        return count_dead() if asked["state"] == DEAD else 0
    return overview.count_dead(current_member().organization_id, asked["channel"])


def _asked() -> dict[str, str]:
    """Return the filters of the URL; what no list of the page offers does not count."""
    state, hours = request.args.get("state", ""), request.args.get("hours", "")
    channel = printable(request.args.get("channel", ""))
    return {
        "state": state if state in _STATES else "",
        "channel": channel if len(channel) <= 50 else "",
        "hours": hours if hours in dict(SPANS) else "",
    }


def _filters(asked: dict[str, str]) -> lists.Filters:
    """Return the filters as the service has them."""
    retrying = asked["state"] == RETRYING
    found = {"state": "" if retrying else asked["state"], "channel": asked["channel"]}
    if asked["hours"]:
        found["since"] = to_wire(utcnow() - timedelta(hours=int(asked["hours"])))
    return replace(lists.read_filters(found), retrying=retrying)


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
    firings = lists.firings_of([found])
    message = Message.from_json(found.message)
    return {
        "delivery": found,
        "message": message,
        "text": plain(message),
        "firing": next(iter(firings.values()), None),
        "held_until": lists.holds_of([found], now=utcnow()).get(found.destination),
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


@blp.page(f"{BASE}/deliveries/dismiss", role=roles.CHANGE_ALERTS, methods=["POST"])
def dismiss_deliveries() -> Response:
    """Dismiss all deliveries that were given up, of one channel or of all."""
    organization_id, channel = current_member().organization_id, _asked_channel()
    count = dead_letters.dismiss_all(organization_id, channel, actor=current_actor(), now=utcnow())
    db.session.commit()
    flash(f"{count} deliver{'y' if count == 1 else 'ies'} dismissed.", "success")
    return redirect(url_for("dashboard.delivery_list_page", channel=channel or None), 303)


@blp.page(f"{BASE}/deliveries/replay", role=roles.CHANGE_ALERTS, methods=["POST"])
def replay_channel() -> Response:
    """Try all deliveries of a channel again that were given up."""
    organization_id, channel = current_member().organization_id, _asked_channel()
    count = dead_letters.replay_channel(
        organization_id, channel, actor=current_actor(), now=utcnow()
    )
    db.session.commit()
    flash(f"{count} deliver{'y' if count == 1 else 'ies'} queued for another attempt.", "success")
    return redirect(url_for("dashboard.delivery_list_page", channel=channel or None), 303)


def _asked_channel() -> str:
    return printable(request.form.get("channel", ""))[:50]
