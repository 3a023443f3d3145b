"""Single sign-on by OpenID Connect, where the settings name a provider."""

import logging

from flask import current_app, redirect, request, url_for
from flask import session as state
from werkzeug.wrappers import Response

from taskbadger.blueprints.api import base_url
from taskbadger.blueprints.dashboard.access import PUBLIC, blp, safe_path, to_next
from taskbadger.blueprints.dashboard.accounts import begin_session
from taskbadger.clock import utcnow
from taskbadger.errors import NotFound
from taskbadger.extensions import db, writing
from taskbadger.services import oidc
from taskbadger.services.oidc import Provider, SignOnFailed

log = logging.getLogger(__name__)

_KEPT = "sign-on"


def _provider() -> Provider:
    """Return the provider of the settings; raises NotFound where there is none."""
    config = current_app.config
    if not config["OIDC_ISSUER"]:
        raise NotFound()
    path = url_for("dashboard.finish_sign_on").removeprefix(request.script_root)
    return Provider(
        config["OIDC_ISSUER"],
        config["OIDC_CLIENT_ID"],
        config["OIDC_CLIENT_SECRET"],
        base_url() + path,
    )


# A GET, because the policy form-action would not let a form's answer lead to the provider.
@blp.page("/sign-in/oidc", role=PUBLIC)
def begin_sign_on() -> Response:
    """Send the browser to the provider."""
    url, kept = oidc.begin(_provider())
    state[_KEPT] = {**kept, "next": safe_path(request.args.get("next"))}
    return redirect(url, 303)


@blp.page("/sign-in/oidc/callback", role=PUBLIC)
def finish_sign_on() -> Response:
    """Sign in whom the provider names."""
    kept = state.pop(_KEPT, {})
    try:
        person = oidc.finish(_provider(), kept, request.args)
    except SignOnFailed as error:
        log.warning("single sign-on failed", extra={"error": repr(error.__cause__ or error)})
        raise
    with writing():
        user = oidc.find_user(person, now=utcnow())
        response = to_next(kept["next"])
        begin_session(response, user)
        db.session.commit()
    return response
