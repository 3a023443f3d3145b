"""The page behind the signed links of messages: it acknowledges or snoozes one incident, once.

Programs follow the links in mails, so opening the page changes nothing; its one button does.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import Flask, Response, make_response, render_template, request, url_for
from flask_smorest import Api
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.dashboard.access import PUBLIC, Pages
from taskbadger.blueprints.dashboard.alerts.snoozing import read_snooze
from taskbadger.blueprints.public.pages import hide
from taskbadger.channels.links import PATH
from taskbadger.clock import utcnow
from taskbadger.domain.incident_links import SNOOZE, IncidentLink, InvalidLink, read_token
from taskbadger.domain.snoozes import SNOOZES
from taskbadger.extensions import db
from taskbadger.process import current_process
from taskbadger.services.incidents import links
from taskbadger.services.incidents.links import LinkState, OpenedLink
from taskbadger.services.people import attempts

DONE = "done"
_STATUSES = {
    LinkState.USABLE: 200,
    LinkState.USED: 410,
    LinkState.EXPIRED: 410,
    LinkState.CLOSED: 410,
    LinkState.INVALID: 404,
}

blp = Pages("incident_links", __name__)
blp.after_request(hide)


@blp.page(PATH, role=PUBLIC)
def open_incident_link() -> Response:
    """Say what the link would do."""
    token = request.args.get("token", "")
    opened = links.open_link(token, _secret_keys(), now=utcnow())
    return _show(opened, opened.state.value, token=token)


@blp.page(PATH, role=PUBLIC, methods=["POST"])
def use_incident_link() -> AnyResponse:
    """Do it."""
    now, token = utcnow(), request.form.get("token", "")
    attempts.count_link_use(request.remote_addr or "", now=now)
    until = read_snooze(now=now) if _snoozes(token) else None
    used = links.use_link(token, _secret_keys(), snooze_until=until, now=now)
    if used.state is not LinkState.USABLE:
        db.session.rollback()
        return _show(links.open_link(token, _secret_keys(), now=now), used.state.value)
    response = _show(used, DONE, until=until)
    db.session.commit()
    return response


def _secret_keys() -> Sequence[str]:
    return current_process().settings.secret_keys


def _snoozes(token: str) -> bool:
    try:
        return read_token(token, _secret_keys()).link.operation == SNOOZE
    except InvalidLink:
        return False


def _show(opened: OpenedLink, state: str, **context: Any) -> Response:
    """Return the page; *state* is DONE or the value of a LinkState."""
    link: IncidentLink | None = opened.link
    listed = opened.listed
    href = None
    if listed is not None:
        slug, number = opened.organization, listed.incident.id
        href = url_for("dashboard.incident", organization_slug=slug, id=number)
    closed_at: datetime | None = listed.incident.closed_at if listed is not None else None
    text = render_template(
        "public/incident_link.html",
        state=state,
        link=link,
        snoozes=SNOOZES if link is not None and link.operation == SNOOZE else (),
        listed=listed,
        organization=opened.organization,
        used_at=opened.used_at,
        closed_at=closed_at,
        href=href,
        **{"token": "", "until": None, **context},
    )
    return make_response(text, 200 if state == DONE else _STATUSES[opened.state])


def register(app: Flask, api: Api) -> None:
    app.register_blueprint(blp)
