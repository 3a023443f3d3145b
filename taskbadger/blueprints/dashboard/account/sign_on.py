"""Single sign-on by OpenID Connect, where the settings name a provider."""

import logging

from flask import redirect, request, url_for
from flask import session as state
from werkzeug.wrappers import Response

from taskbadger import time_limit
from taskbadger.blueprints.api import base_url
from taskbadger.blueprints.dashboard.access import PUBLIC, blp
from taskbadger.blueprints.dashboard.account.sign_in import begin_session
from taskbadger.blueprints.dashboard.redirects import safe_path, to_next
from taskbadger.clock import utcnow
from taskbadger.errors import NotFound
from taskbadger.extensions import db, writing
from taskbadger.process import current_process
from taskbadger.services.people import oidc
from taskbadger.services.people.oidc import Provider, SignOnFailed

log = logging.getLogger(__name__)

_KEPT = "sign-on"


def _provider() -> Provider:
    """Return the provider of the settings; raises NotFound if there is none."""
    settings = current_process().settings
    if not settings.OIDC_ISSUER:
        raise NotFound()
    path = url_for("dashboard.finish_sign_on").removeprefix(request.script_root)
    return Provider(
        issuer=settings.OIDC_ISSUER,
        client_id=settings.OIDC_CLIENT_ID,
        client_secret=settings.OIDC_CLIENT_SECRET,
        redirect_uri=base_url() + path,
    )


# A GET: the policy form-action forbids redirects of a form to the provider.
@blp.page("/sign-in/oidc", role=PUBLIC)
def begin_sign_on() -> Response:
    """Redirect to the provider."""
    url, kept = oidc.begin(_provider(), current_process().identity_providers)
    state[_KEPT] = {**kept, "next": safe_path(request.args.get("next"))}
    return redirect(url, 303)


@blp.page("/sign-in/oidc/callback", role=PUBLIC)
def finish_sign_on() -> Response:
    """Sign in the user that the provider authenticated."""
    kept = state.pop(_KEPT, {})
    known = current_process().identity_providers
    try:
        person = oidc.finish(_provider(), known, kept, request.args)
    except SignOnFailed as error:
        log.warning("single sign-on failed", extra={"error": repr(error.__cause__ or error)})
        raise
    time_limit.begin()
    with writing():
        user = oidc.find_user(person, now=utcnow())
        response = to_next(kept["next"])
        begin_session(response, user)
        db.session.commit()
    return response
