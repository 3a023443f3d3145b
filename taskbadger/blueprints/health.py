"""Is the process alive, and is it ready to serve? For load balancers and supervisors."""

import os

from flask import Blueprint, Flask, Response, jsonify, request
from flask_smorest import Api
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from taskbadger.clock import utcnow
from taskbadger.errors import NewerSchema, ServiceUnavailable
from taskbadger.extensions import db, own_schema, roll_back, schema_of
from taskbadger.services import outage

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
    """Answer 200 when the database takes writes and all migrations are applied, else 503.

    It also says whether a background worker runs, ``ok`` or ``stale``; with ``?worker=1``, stale
    is a 503, too.
    """
    try:
        version = schema_of(db.session.connection())
        is_read_only = _is_read_only()
        is_silent = version == own_schema() and outage.read_silence(now=utcnow()).is_on
    except NewerSchema:
        return _not_ready("the database is of a newer version")
    except SQLAlchemyError:
        roll_back()
        return _not_ready("the database cannot be reached")
    if version != own_schema():
        return _not_ready("migrations are not applied")
    if is_read_only:
        # A connection may keep what its server was when it began.
        db.session.rollback()
        db.engine.dispose()
        return _not_ready("the database is read-only")
    if is_silent and request.args.get("worker") == "1":
        return _not_ready("no background worker runs")
    return jsonify(status="ready", worker="stale" if is_silent else "ok")


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
    own_schema()  # Reads the files while the application starts.
    app.register_blueprint(blp)
