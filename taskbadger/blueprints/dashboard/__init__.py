"""The web dashboard. Every module here adds its routes to ``access.blp``."""

from flask import Flask
from flask_smorest import Api

from taskbadger.blueprints.dashboard import overview
from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.account import deletion as account_deletion
from taskbadger.blueprints.dashboard.account import digests, invited, sign_in, sign_on
from taskbadger.blueprints.dashboard.alerts import (
    channels,
    deliveries,
    global_actions,
    incidents,
    many_deliveries,
    windows,
)
from taskbadger.blueprints.dashboard.formats import register_formats
from taskbadger.blueprints.dashboard.guide import how_to
from taskbadger.blueprints.dashboard.monitors import (
    editor,
    monitor,
    monitor_list,
    preview,
    standing,
)
from taskbadger.blueprints.dashboard.once import once_token
from taskbadger.blueprints.dashboard.settings import (
    deletion,
    keys,
    mail,
    members,
    organization,
    projects,
)
from taskbadger.blueprints.dashboard.tasks import (
    bulk,
    exports,
    failure,
    failures,
    names,
    queues,
    saved_views,
    task,
    task_list,
)
from taskbadger.blueprints.live import is_live_request
from taskbadger.services.people import oidc

PAGES = (
    sign_in,
    sign_on,
    account_deletion,
    digests,
    invited,
    overview,
    how_to,
    task_list,
    bulk,
    saved_views,
    exports,
    task,
    failures,
    failure,
    names,
    queues,
    monitor_list,
    monitor,
    editor,
    standing,
    preview,
    global_actions,
    channels,
    deliveries,
    many_deliveries,
    incidents,
    windows,
    projects,
    keys,
    members,
    mail,
    organization,
    deletion,
)
"""The modules whose pages are served."""


def register(app: Flask, api: Api) -> None:
    if app.config.get("OIDC_ISSUER"):
        oidc.check_installed()
    register_formats(app)
    app.add_template_global(is_live_request)
    app.add_template_global(once_token)
    app.add_template_global(mail.lacks_mail_server)
    app.register_blueprint(blp)
