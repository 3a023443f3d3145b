"""The web interface for people. Every module here adds its routes to ``access.blp``."""

from flask import Flask
from flask_smorest import Api

from taskbadger.blueprints.dashboard import (
    accounts,
    alerts,
    channels,
    deliveries,
    how_to,
    invited,
    monitor_editor,
    monitors,
    names,
    overview,
    settings_keys,
    settings_members,
    settings_organization,
    settings_projects,
    sign_on,
    task,
    task_exports,
    tasks,
)
from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.formats import register_formats
from taskbadger.blueprints.dashboard.once import once_token
from taskbadger.blueprints.dashboard.shared import init_sharing
from taskbadger.blueprints.live import is_live_request
from taskbadger.services import oidc

PAGES = (
    accounts,
    sign_on,
    invited,
    overview,
    how_to,
    tasks,
    task_exports,
    task,
    names,
    monitors,
    monitor_editor,
    alerts,
    channels,
    deliveries,
    settings_projects,
    settings_keys,
    settings_members,
    settings_organization,
)
"""The modules whose pages are served."""


def register(app: Flask, api: Api) -> None:
    if app.config.get("OIDC_ISSUER"):
        oidc.check_installed()
    register_formats(app)
    app.add_template_global(is_live_request)
    app.add_template_global(once_token)
    init_sharing(app)
    app.register_blueprint(blp)
