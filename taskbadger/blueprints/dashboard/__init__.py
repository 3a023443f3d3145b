"""The web interface for people."""

from flask import Blueprint, Flask
from flask_smorest import Api

from taskbadger.blueprints.dashboard.formats import register_formats
from taskbadger.blueprints.dashboard.live import is_live_request

blp = Blueprint("dashboard", __name__, template_folder="templates")


def register(app: Flask, api: Api) -> None:
    register_formats(app)
    app.add_template_global(is_live_request)
    app.register_blueprint(blp)
