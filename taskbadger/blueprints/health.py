"""Is the process alive, and is it ready to serve? For load balancers and supervisors."""

import os

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Blueprint, Flask, Response, jsonify
from flask_smorest import Api
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from taskbadger.errors import ServiceUnavailable
from taskbadger.extensions import MIGRATIONS, db, roll_back
from taskbadger.process import current_process, process_of

blp = Blueprint("health", __name__)
_IS_READ_ONLY = text(
    "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'"
)


@blp.get("/healthz")
def healthz() -> Response:
    """Answer as long as the process runs; web_worker.py has a thread for this path alone."""
    return jsonify(status="ok")


@blp.get("/readyz")
def readyz() -> Response:
    """Answer 200 when the database takes writes and all migrations are applied, else 503."""
    try:
        current = MigrationContext.configure(db.session.connection()).get_current_revision()
        is_read_only = _is_read_only()
    except SQLAlchemyError:
        roll_back()
        return _not_ready("the database cannot be reached")
    if current != current_process().migration_head:
        return _not_ready("migrations are not applied")
    if is_read_only:
        # A connection may keep what its server was when it began.
        db.session.rollback()
        db.engine.dispose()
        return _not_ready("the database is read-only")
    return jsonify(status="ready")


def _is_read_only() -> bool:
    if db.engine.dialect.name == "postgresql":
        return bool(db.session.scalar(_IS_READ_ONLY))
    return not os.access(str(db.engine.url.database), os.W_OK)


def _not_ready(reason: str) -> Response:
    response = jsonify(status=reason)
    response.status_code = ServiceUnavailable.status
    response.headers["Retry-After"] = str(ServiceUnavailable.retry_after)
    return response


def register(app: Flask, api: Api) -> None:
    """Add the two checks."""
    process_of(app).migration_head = ScriptDirectory(MIGRATIONS).get_current_head()
    app.register_blueprint(blp)
