"""Is the process alive, and is it ready to serve? For load balancers and supervisors."""

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Blueprint, Flask, Response, current_app, jsonify
from flask_smorest import Api
from sqlalchemy.exc import SQLAlchemyError

from taskbadger.extensions import MIGRATIONS, db

blp = Blueprint("health", __name__)


@blp.get("/healthz")
def healthz() -> Response:
    """Answer as long as the process runs."""
    return jsonify(status="ok")


@blp.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Answer 200 when the database is reachable and all migrations are applied, else 503."""
    try:
        current = MigrationContext.configure(db.session.connection()).get_current_revision()
    except SQLAlchemyError:
        db.session.rollback()
        return jsonify(status="the database cannot be reached"), 503
    if current != current_app.extensions["taskbadger_head"]:
        return jsonify(status="migrations are not applied"), 503
    return jsonify(status="ready"), 200


def register(app: Flask, api: Api) -> None:
    """Add the two checks."""
    app.extensions["taskbadger_head"] = ScriptDirectory(MIGRATIONS).get_current_head()
    app.register_blueprint(blp)
