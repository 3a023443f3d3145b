"""Accepting an invitation: by a new person, or by one who is signed in."""

from flask import make_response, render_template, request
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import PUBLIC, blp
from taskbadger.blueprints.dashboard.account.sign_in import begin_session, new_hash
from taskbadger.blueprints.dashboard.forms import Form, read_form
from taskbadger.blueprints.dashboard.redirects import to_next, to_sign_in
from taskbadger.blueprints.dashboard.visit import current_user, find_visit
from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.models import Invitation, User
from taskbadger.process import current_process
from taskbadger.schemas.people import AcceptForm
from taskbadger.services.people import invitations, users


# The token is in the query string, which the request log omits.
@blp.page("/invitation", role=PUBLIC)
def invitation() -> Response | str:
    """Show the invitation."""
    found = _find()
    return _page(found, Form())


def _find() -> Invitation:
    """Return the invitation of the link; raises InvitationGone."""
    keys = current_process().settings.secret_keys
    return invitations.find(request.args.get("token", ""), now=utcnow(), secret_keys=keys)


def _page(found: Invitation, form: Form) -> str:
    return render_template(
        "dashboard/account/invitation.html",
        invitation=found,
        form=form,
        user=find_visit(),
        known=users.find_user(found.email) is not None,
    )


@blp.page("/invitation", role=PUBLIC, methods=["POST"])
def accept_invitation() -> Response:
    """Make the visitor a member."""
    found = _find()
    if find_visit() is not None:
        return _join(found, current_user())
    if users.find_user(found.email) is not None:
        return to_sign_in(request.full_path)
    return _register(found)


def _join(found: Invitation, user: User) -> Response:
    """Make a user a member, if the invitation is for their address."""
    if user.email != found.email:
        return make_response(_page(found, Form()), 403)
    now = utcnow()
    invitations.take(found, now=now)
    invitations.join(found, user, now=now)
    slug = found.organization.slug
    db.session.commit()
    return to_next(f"/a/{slug}/")


def _register(found: Invitation) -> Response:
    """Create a user for the invited person and sign them in."""
    form = read_form(AcceptForm)
    password_hash = new_hash(form, found.email)
    if form.errors:
        return make_response(_page(found, form), 400)
    now = utcnow()
    invitations.take(found, now=now)
    if users.find_user(found.email) is not None:
        raise invitations.InvitationGone()
    user = users.ensure_user(found.email, name=form.data["name"], now=now)
    user.password_hash = password_hash
    invitations.join(found, user, now=now)
    response = to_next(f"/a/{found.organization.slug}/")
    begin_session(response, user)
    db.session.commit()
    return response
