"""The page behind the link to unsubscribe from digests, for people and for mail programs.

Programs follow the links in mails, so opening the page changes nothing; its one button does. Mail
programs that know RFC 8058 send the same request without opening the page.
"""

from flask import Flask, Response, make_response, render_template, request
from flask_smorest import Api

from taskbadger.blueprints.dashboard.access import PUBLIC, Pages
from taskbadger.blueprints.public.pages import hide
from taskbadger.channels.links import DIGEST_PATH
from taskbadger.clock import utcnow
from taskbadger.domain.digests import OFF
from taskbadger.extensions import db
from taskbadger.process import current_process
from taskbadger.services.digests import settings
from taskbadger.services.digests.settings import Subscription

blp = Pages("digest_links", __name__)
blp.after_request(hide)


# The token is in the query string, which the request log omits.
@blp.page(DIGEST_PATH, role=PUBLIC)
def digest_link() -> Response:
    """Say whose digests the link turns off."""
    return _show(_find())


@blp.page(DIGEST_PATH, role=PUBLIC, methods=["POST"])
def unsubscribe() -> Response:
    """Turn the digests off."""
    found = _find()
    if found is not None:
        settings.unsubscribe(found, now=utcnow())
    response = _show(found)
    db.session.commit()
    return response


def _find() -> Subscription | None:
    keys = current_process().settings.secret_keys
    return settings.find_subscription(request.args.get("token", ""), keys)


def _show(found: Subscription | None) -> Response:
    is_off = found is not None and found.membership.digest == OFF
    page = render_template("public/digest_link.html", found=found, is_off=is_off)
    return make_response(page, 200 if found else 404)


def register(app: Flask, api: Api) -> None:
    """Add the page."""
    app.register_blueprint(blp)
