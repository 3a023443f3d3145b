"""Deleting one's own account. The address has to be typed."""

from flask import make_response, redirect, render_template, url_for
from flask import session as state
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import SIGNED_IN, blp
from taskbadger.blueprints.dashboard.account.sign_in import origin
from taskbadger.blueprints.dashboard.forms import Form, read_form
from taskbadger.blueprints.dashboard.navigation import home_frame
from taskbadger.blueprints.dashboard.visit import current_actor, current_user, forget_cookie
from taskbadger.clock import utcnow
from taskbadger.errors import Conflict
from taskbadger.extensions import db
from taskbadger.models import User
from taskbadger.process import current_process
from taskbadger.schemas.people import ConfirmForm
from taskbadger.services.deletion import counting
from taskbadger.services.people import users


@blp.page("/account/delete", role=SIGNED_IN)
def account_deletion() -> str:
    """Show what goes with the account."""
    return _page(current_user(), Form())


def _page(user: User, form: Form) -> str:
    return render_template(
        "dashboard/account/deletion.html",
        frame=home_frame(origin()),
        of=origin() or None,
        user=user,
        counts=counting.count_user(user),
        form=form,
    )


@blp.page("/account/delete", role=SIGNED_IN, methods=["POST"])
def delete_account() -> Response:
    """Delete the account of the visitor, if its address was typed."""
    user, form = current_user(), read_form(ConfirmForm)
    if not form.errors and form.data["confirm"].lower() != user.email:
        form.errors = {"confirm": [f"Type {user.email} to delete your account."]}
    if not form.errors:
        keys = current_process().settings.secret_keys
        try:
            users.delete_user(user, secret_keys=keys, actor=current_actor(), now=utcnow())
        except Conflict as error:
            db.session.rollback()
            form.errors = {"": [error.detail]}
    if form.errors:
        return make_response(_page(current_user(), form), 400)
    db.session.commit()
    state.clear()
    response = redirect(url_for("dashboard.sign_in"), 303)
    forget_cookie(response)
    return response
