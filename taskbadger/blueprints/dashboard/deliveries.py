"""Alerts: what was sent, what waits, and what was given up, with another try."""

import json
from datetime import timedelta
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp, current_actor, current_member
from taskbadger.blueprints.dashboard.alerts import BASE, alerts_context
from taskbadger.blueprints.dashboard.channels import name_of
from taskbadger.clock import to_wire, utcnow
from taskbadger.domain import roles
from taskbadger.errors import Conflict
from taskbadger.extensions import db
from taskbadger.models.delivery import DEAD, STATES
from taskbadger.schemas.fields import printable
from taskbadger.services import audit, channels, deliveries, delivery_list
from taskbadger.services.pagination import Cursor, read_cursor

PAGE_SIZE = 50
STATE_WORDS = tuple((state, "given up" if state == DEAD else state) for state in STATES)
SPANS = (("", "ever"), ("1", "in the last hour"), ("24", "in the last day"), ("168", "in a week"))


@blp.page(f"{BASE}/deliveries/", role=roles.READ)
def delivery_list_page() -> str:
    """Show the deliveries, newest first."""
    text = request.args.get("cursor")
    cursor = read_cursor(text, parts=1) if text else None
    asked = _asked()
    filters = delivery_list.read_filters(_parameters(asked))
    page = delivery_list.list_deliveries(
        current_member().organization_id, filters, cursor, PAGE_SIZE
    )
    return render_template(
        "dashboard/deliveries.html",
        rows=page.rows,
        firings=delivery_list.firings_of(page.rows),
        asked=asked,
        states=[("", "any state"), *STATE_WORDS],
        channels=_channels(asked["channel"]),
        spans=SPANS,
        newer=_page_href(asked, page.previous),
        older=_page_href(asked, page.next),
        **alerts_context(),
    )


def _asked() -> dict[str, str]:
    """Return the filters of the URL; what no list of the page offers does not count."""
    state, hours = request.args.get("state", ""), request.args.get("hours", "")
    channel = printable(request.args.get("channel", "")).replace("\x00", "")
    return {
        "state": state if state in STATES else "",
        "channel": channel if len(channel) <= 50 else "",
        "hours": hours if hours in dict(SPANS) else "",
    }


def _parameters(asked: dict[str, str]) -> dict[str, str]:
    """Return the filters as the service reads them."""
    found = {"state": asked["state"], "channel": asked["channel"]}
    if asked["hours"]:
        found["since"] = to_wire(utcnow() - timedelta(hours=int(asked["hours"])))
    return found


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
def delivery(id: str) -> str:
    """Show one delivery: what it says, why, and every try."""
    found = deliveries.get_delivery(current_member().organization_id, id)
    firings = delivery_list.firings_of([found])
    return render_template(
        "dashboard/delivery.html",
        delivery=found,
        message=json.loads(found.message),
        firing=next(iter(firings.values()), None),
        attempts=deliveries.list_attempts(id)[::-1],
        to=json.loads(found.config).get("to", ""),
        **alerts_context(),
    )


@blp.page(f"{BASE}/deliveries/<id>/replay", role=roles.CHANGE_ALERTS, methods=["POST"])
def replay_delivery(id: str) -> Response:
    """Try a delivery again that was given up."""
    now, organization_id = utcnow(), current_member().organization_id
    back = redirect(url_for("dashboard.delivery", id=id), 303)
    try:
        deliveries.replay(organization_id, id, now=now)
    except Conflict as error:
        flash(error.detail, "error")
        return back
    audit.record(current_actor(), organization_id, "delivery.replay", id, now=now)
    db.session.commit()
    flash("It is tried again.", "success")
    return back


@blp.page(f"{BASE}/deliveries/replay", role=roles.CHANGE_ALERTS, methods=["POST"])
def replay_channel() -> Response:
    """Try all deliveries of a channel again that were given up."""
    now, organization_id = utcnow(), current_member().organization_id
    channel = _asked_channel()
    count = deliveries.replay_channel(organization_id, channel, now=now)
    if count:
        detail = f"{count} deliveries"
        audit.record(
            current_actor(), organization_id, "delivery.replay-all", channel, detail, now=now
        )
    db.session.commit()
    flash(f"{count} deliver{'y is' if count == 1 else 'ies are'} tried again.", "success")
    return redirect(url_for("dashboard.delivery_list_page", channel=channel or None), 303)


def _asked_channel() -> str:
    return printable(request.form.get("channel", "")).replace("\x00", "")[:50]
