"""Keeps what was typed into a form when the session has ended, and fills it in after the sign-in.

Routes say that they keep drafts: ``blp.page(…, keeps_draft=True)``.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Response, current_app, flash, g, request
from flask import session as state
from werkzeug.exceptions import HTTPException

from taskbadger import channels
from taskbadger.blueprints.dashboard.alerts.channel_picker import BOX
from taskbadger.blueprints.dashboard.filling import NEVER_FILLED, fill
from taskbadger.blueprints.dashboard.visit import find_visit
from taskbadger.blueprints.live import is_live_request
from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.services.people import drafts
from taskbadger.services.people.drafts import Draft
from taskbadger.services.people.sessions import Visit

ARGUMENT = "draft"
"""The argument of an address that names a draft."""
_PERSON, _DRAFT = "person", "draft"
"""What the state cookie has: who typed, and what is to be dropped if somebody else signs in."""
_SECRET_WORDS = ("password", "secret", "token")
_CONFIG = "config."


def mark_of(user_id: int) -> str:
    """Return what stands for a user in the state cookie."""
    return drafts.mark_of(user_id, str(current_app.secret_key))


def note_person() -> None:
    """Note in the state cookie whose forms this browser shows, if the page has any."""
    visit: Visit | None = g.get("visit") if "csrf_token" in state else None
    if visit is not None and state.get(_PERSON) != (mark := mark_of(visit.user_id)):
        state[_PERSON] = mark


def keep_typed(page: str) -> str | None:
    """Keep the form of this request; return the address of the page that fills it in.

    None if there is nothing to keep, if it is too large, or if nobody knows who typed it.
    """
    person, fields = state.get(_PERSON), typed_fields()
    place = page_of_form(page)
    if not person or not fields or not place:
        return None
    token = drafts.keep(person, request.path, fields, now=utcnow())
    db.session.commit()
    if token is None:
        return None
    state[_DRAFT] = token
    return _with_draft(place, token)


def page_of_form(page: str) -> str:
    """Return the page that shows the form: *page*, or what the form is sent to; else nothing."""
    return next((path for path in (page, request.path) if path and _is_page(path)), "")


def _is_page(path: str) -> bool:
    adapter = current_app.create_url_adapter(request)
    try:
        return adapter is not None and bool(adapter.match(urlsplit(path).path, method="GET"))
    except HTTPException:
        return False


def _with_draft(path: str, token: str) -> str:
    parts = urlsplit(path)
    kept = [pair for pair in parse_qsl(parts.query, True) if pair[0] != ARGUMENT]
    return f"{parts.path}?{urlencode([*kept, (ARGUMENT, token)])}"


def typed_fields() -> Mapping[str, list[str]]:
    """Return the fields of this request's form that may be kept."""
    secret = _secrets_of_channel(request.view_args or {})
    return {
        name: values
        for name, values in request.form.lists()
        if name not in NEVER_FILLED
        and name.removeprefix(_CONFIG) not in secret
        and not _may_be_secret(name)
    }


def _may_be_secret(name: str) -> bool:
    # The box of a channel ends with the channel's slug, which may be any word.
    ours = name.partition(BOX)[0].lower()
    return any(word in ours for word in _SECRET_WORDS)


def _secrets_of_channel(arguments: Mapping[str, Any]) -> frozenset[str]:
    """Return the secrets of the kind of channel that the form is about, if it is about one."""
    kind = arguments.get("kind") or str(arguments.get("integration", "")).partition(":")[0]
    known = channels.get(kind)
    return frozenset() if known is None else frozenset(known.secret_fields)


def take_draft() -> None:
    """Find the draft that the address names, if it is the visitor's."""
    token = request.args.get(ARGUMENT, "")
    visit = find_visit() if token and not is_live_request() else None
    if visit is None:
        return
    person = mark_of(visit.user_id)
    if request.method == "POST":
        # Committed by the view, with what the form changes.
        drafts.drop(token, person)
        return
    g.draft = drafts.find(token, person, now=utcnow())
    if g.draft is not None:
        flash(
            "What you typed is filled in again, except for passwords and secrets. It is not saved "
            "yet.",
            "warning",
        )


def fill_in(response: Response) -> Response:
    """Fill the visitor's draft into the page."""
    draft: Draft | None = g.get("draft")
    if draft is not None and response.status_code == 200 and response.mimetype == "text/html":
        path = request.script_root + request.path
        action = request.script_root + draft.action
        response.set_data(fill(response.get_data(as_text=True), action, path, draft.fields))
    return response


def end_drafts(user_id: int) -> None:
    """Drop what somebody else typed in this browser: *user_id* signs in."""
    token = state.get(_DRAFT)
    if token:
        drafts.drop_of_others(token, mark_of(user_id))
    drafts.purge(now=utcnow())
