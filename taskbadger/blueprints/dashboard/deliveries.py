"""Alerts: what was sent, what waits, and what was given up, with another try."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from flask import Response as FlaskResponse
from flask import flash, redirect, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp, current_actor, current_member
from taskbadger.blueprints.dashboard.alerts import BASE, count_dead, render_alerts
from taskbadger.blueprints.dashboard.channels import name_of
from taskbadger.blueprints.dashboard.shared import share
from taskbadger.channels import Message
from taskbadger.channels.text import plain
from taskbadger.clock import to_wire, utcnow
from taskbadger.domain import roles
from taskbadger.errors import Conflict
from taskbadger.extensions import db
from taskbadger.models.delivery import DEAD, SENDING, STATES, WAITING
from taskbadger.schemas.fields import printable
from taskbadger.services import audit, channels, deliveries, delivery_list, overview
from taskbadger.services.pagination import Cursor, Page, read_cursor

PAGE_SIZE = 50
RETRYING = "retrying"
"""What the page calls a delivery that waits after a try that failed."""
_WORDS = {DEAD: "given up"}
_STATES = (STATES[0], RETRYING, *STATES[1:])
STATE_WORDS = tuple((state, _WORDS.get(state, state)) for state in _STATES)
SPANS = (("", "ever"), ("1", "in the last hour"), ("24", "in the last day"), ("168", "in a week"))


@blp.page(f"{BASE}/deliveries/", role=roles.READ)
def delivery_list_page() -> FlaskResponse:
    """Show the deliveries, newest first."""
    text = request.args.get("cursor")
    cursor = read_cursor(text, parts=1) if text else None
    asked, number, now = _asked(), current_member().organization_id, utcnow()
    page = delivery_list.list_deliveries(number, _filters(asked), cursor, PAGE_SIZE)
    holds = delivery_list.holds_of(page.rows, now=now)
    stamp = [
        (one.id, one.state, one.attempts, one.next_attempt_at, holds.get(one.destination))
        for one in page.rows
    ]
    return render_alerts("deliveries.html", stamp, lambda: _list_context(asked, page, holds))


def _list_context(
    asked: dict[str, str], page: Page[Any], holds: dict[str, datetime]
) -> dict[str, Any]:
    rows = page.rows
    return {
        "rows": rows,
        "about": delivery_list.about_of(rows),
        "holds": holds,
        "asked": asked,
        "dead_here": _count_dead_here(asked),
        "states": [("", "any state"), *STATE_WORDS],
        "channels": _channels(asked["channel"]),
        "spans": SPANS,
        "newer": _page_href(asked, page.previous),
        "older": _page_href(asked, page.next),
        "moving": any(one.state == SENDING for one in rows),
    }


def _count_dead_here(asked: dict[str, str]) -> int:
    """Return how many were given up of the channel that the list is narrowed to, if it is."""
    if not asked["channel"]:
        return count_dead() if asked["state"] == DEAD else 0
    return overview.count_dead(current_member().organization_id, asked["channel"])


def _asked() -> dict[str, str]:
    """Return the filters of the URL; what no list of the page offers does not count."""
    state, hours = request.args.get("state", ""), request.args.get("hours", "")
    channel = printable(request.args.get("channel", "")).replace("\x00", "")
    return {
        "state": state if state in _STATES else "",
        "channel": channel if len(channel) <= 50 else "",
        "hours": hours if hours in dict(SPANS) else "",
    }


def _filters(asked: dict[str, str]) -> delivery_list.Filters:
    """Return the filters as the service has them."""
    retrying = asked["state"] == RETRYING
    found = {"state": "" if retrying else asked["state"], "channel": asked["channel"]}
    if asked["hours"]:
        found["since"] = to_wire(utcnow() - timedelta(hours=int(asked["hours"])))
    return replace(delivery_list.read_filters(found), retrying=retrying)


def _channels(chosen: str) -> list[tuple[str, str]]:
    known = [name_of(one) for one in channels.list_channels(current_member().organization_id)]
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
    stamp = share(("delivery", number, id), lambda: deliveries.find_stamp(number, id))
    return render_alerts("delivery.html", stamp, lambda: _context(number, id))


def _context(organization_id: int, delivery_id: str) -> dict[str, Any]:
    found = deliveries.get_delivery(organization_id, delivery_id)
    firings = delivery_list.firings_of([found])
    message = Message.from_json(found.message)
    return {
        "delivery": found,
        "message": message,
        "text": plain(message),
        "firing": next(iter(firings.values()), None),
        "held_until": delivery_list.holds_of([found], now=utcnow()).get(found.destination),
        "attempts": deliveries.list_attempts(delivery_id)[::-1],
        "to": json.loads(found.config).get("to", ""),
        "moving": found.state == SENDING,
    }


@blp.page(f"{BASE}/deliveries/<id>/replay", role=roles.CHANGE_ALERTS, methods=["POST"])
def replay_delivery(id: str) -> Response:
    """Try a delivery again that was given up, or now instead of later."""
    now, organization_id = utcnow(), current_member().organization_id
    found = deliveries.get_delivery(organization_id, id)
    is_retrying = found.state == WAITING and found.attempts > 0
    try_again = deliveries.hurry if is_retrying else deliveries.replay
    try:
        try_again(organization_id, id, now=now)
    except Conflict as error:
        return _back(id, error.detail, "error")
    verb = "delivery.hurry" if is_retrying else "delivery.replay"
    audit.record(current_actor(), organization_id, verb, id, now=now)
    db.session.commit()
    return _back(id, "It is tried again.", "success")


@blp.page(f"{BASE}/deliveries/<id>/dismiss", role=roles.CHANGE_ALERTS, methods=["POST"])
def dismiss_delivery(id: str) -> Response:
    """Count a delivery no more that was given up; it stays in the list."""
    organization_id = current_member().organization_id
    try:
        deliveries.dismiss(organization_id, id)
    except Conflict as error:
        return _back(id, error.detail, "error")
    audit.record(current_actor(), organization_id, "delivery.dismiss", id, now=utcnow())
    db.session.commit()
    return _back(id, "It is dismissed.", "success")


def _back(delivery_id: str, message: str, category: str) -> Response:
    flash(message, category)
    return redirect(url_for("dashboard.delivery", id=delivery_id), 303)


@blp.page(f"{BASE}/deliveries/dismiss", role=roles.CHANGE_ALERTS, methods=["POST"])
def dismiss_deliveries() -> Response:
    """Dismiss all deliveries that were given up, of one channel or of all."""
    organization_id, channel = current_member().organization_id, _asked_channel()
    count = deliveries.dismiss_all(organization_id, channel)
    words = f"{count} deliver{'y' if count == 1 else 'ies'}"
    if count:
        subject = channel or "all channels"
        audit.record(
            current_actor(), organization_id, "delivery.dismiss-all", subject, words, now=utcnow()
        )
    db.session.commit()
    flash(f"{words} {'is' if count == 1 else 'are'} dismissed.", "success")
    return redirect(url_for("dashboard.delivery_list_page", channel=channel or None), 303)


@blp.page(f"{BASE}/deliveries/replay", role=roles.CHANGE_ALERTS, methods=["POST"])
def replay_channel() -> Response:
    """Try all deliveries of a channel again that were given up."""
    now, organization_id = utcnow(), current_member().organization_id
    channel = _asked_channel()
    count = deliveries.replay_channel(organization_id, channel, now=now)
    if count:
        detail = f"{count} deliver{'y' if count == 1 else 'ies'}"
        audit.record(
            current_actor(), organization_id, "delivery.replay-all", channel, detail, now=now
        )
    db.session.commit()
    flash(f"{count} deliver{'y is' if count == 1 else 'ies are'} tried again.", "success")
    return redirect(url_for("dashboard.delivery_list_page", channel=channel or None), 303)


def _asked_channel() -> str:
    return printable(request.form.get("channel", "")).replace("\x00", "")[:50]
