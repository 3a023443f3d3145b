"""What anyone with a link may see: tasks, and the latest runs of names and monitors."""

from flask import Flask
from flask_smorest import Api

from taskbadger.blueprints.public import latest, tasks
from taskbadger.blueprints.public.pages import blp

PAGES = (tasks, latest)
"""The modules whose pages are served."""


def register(app: Flask, api: Api) -> None:
    app.url_map.converters |= {"any_text": latest.AnyText, "slash_ended": latest.SlashEnded}
    app.register_blueprint(blp)
