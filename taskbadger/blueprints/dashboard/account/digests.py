"""Digests of the person who is signed in: how often, where they are, and what one would say."""

from flask import Response, flash, make_response, redirect, render_template, url_for
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.dashboard.access import SIGNED_IN, blp
from taskbadger.blueprints.dashboard.account.sign_in import account_page, origin
from taskbadger.blueprints.dashboard.forms import read_form
from taskbadger.blueprints.dashboard.navigation import home_frame
from taskbadger.blueprints.dashboard.visit import current_actor, current_user, current_visit
from taskbadger.blueprints.security import POLICY
from taskbadger.channels.email import Rendered, render
from taskbadger.channels.links import with_links
from taskbadger.clock import utcnow
from taskbadger.domain.digests import OFF
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.process import current_process
from taskbadger.schemas.people import DigestForm, TimezoneForm
from taskbadger.services.digests import settings, writing
from taskbadger.services.digests.writing import Reader

PAGE_POLICY = f"{POLICY}; frame-src 'self'"
"""The page of a preview has the mail in a frame."""
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
"""A mail has its styles inside. Whatever else is in it, it runs nothing."""


@blp.page("/account/timezone", role=SIGNED_IN, methods=["POST"], keeps_draft=True)
def change_timezone() -> AnyResponse:
    """Change where the person is."""
    form = read_form(TimezoneForm)
    if not form.errors:
        wanted, actor = form.data["timezone"], current_actor()
        try:
            settings.change_timezone(current_user(), wanted, actor=actor, now=utcnow())
        except ValidationFailed as error:
            form.add(error)
    if form.errors:
        return make_response(account_page(form), 400)
    db.session.commit()
    flash(f"Digests are sent at 08:00 in {form.data['timezone']}.", "success")
    return redirect(url_for("dashboard.account", of=origin() or None), 303)


@blp.page(
    "/account/digests/<int:membership_id>", role=SIGNED_IN, methods=["POST"], keeps_draft=True
)
def change_digest(membership_id: int) -> AnyResponse:
    """Choose how often to get digests of an organization."""
    form = read_form(DigestForm)
    membership = settings.find_own(current_visit().user_id, membership_id)
    if not form.errors:
        wanted, actor = form.data["digest"], current_actor()
        try:
            settings.change_digest(membership, wanted, actor=actor, now=utcnow())
        except ValidationFailed as error:
            form.add(error)
    if form.errors:
        return make_response(account_page(form), 400)
    name = membership.organization.name
    db.session.commit()
    often = form.data["digest"]
    flash(f"Digests of {name} are off." if often == OFF else f"{name}: {often} digest.", "success")
    return redirect(url_for("dashboard.account", of=origin() or None), 303)


@blp.page("/account/digests/<int:membership_id>/", role=SIGNED_IN)
def digest_preview(membership_id: int) -> Response:
    """Show what a digest would say now."""
    reader = _find_own(membership_id)
    page = render_template(
        "dashboard/account/digest.html",
        frame=home_frame(reader.organization),
        reader=reader,
        is_on=reader.digest != OFF,
        frequency=writing.frequency_of(reader),
        mail=_render(reader),
        smtp_url=current_process().settings.SMTP_URL,
    )
    return _with_policy(page, PAGE_POLICY)


@blp.page("/account/digests/<int:membership_id>/mail", role=SIGNED_IN)
def digest_mail(membership_id: int) -> Response:
    """Answer with the mail itself, for the frame of the preview."""
    response = _with_policy(_render(_find_own(membership_id)).html, MAIL_POLICY)
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


def _find_own(membership_id: int) -> Reader:
    reader = writing.find_reader(membership_id)
    if reader is None or reader.user_id != current_visit().user_id:
        raise NotFound()
    return reader


def _render(reader: Reader) -> Rendered:
    process = current_process()
    message = writing.write_digest(reader, now=utcnow(), base_url=process.base_url)
    return render(with_links(message, reader.email, process.send_context))


def _with_policy(page: str, policy: str) -> Response:
    response = make_response(page)
    response.headers["Content-Security-Policy"] = policy
    return response
