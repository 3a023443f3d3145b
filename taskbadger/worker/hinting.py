"""Sends a hint to a worker after each commit that queued deliveries.

`hints` has the two transports of the embedded engine. With Celery, the ids of the deliveries go
to the broker.
"""

from flask import Flask, current_app
from flask_smorest import Api
from sqlalchemy import event
from sqlalchemy.orm import Session

from taskbadger.extensions import db
from taskbadger.process import SendHint, current_process, process_of
from taskbadger.services.delivery import outbox
from taskbadger.worker.hints import Courier, Datagram, Notifier


def register(app: Flask, api: Api) -> None:
    """Send a hint after each commit that queued deliveries."""
    process_of(app).send_hint = make_send_hint(app)
    for name, listener in (
        ("after_commit", _send_hint_after_commit),
        ("after_rollback", outbox.take_queued),
    ):
        if not event.contains(db.session, name, listener):
            event.listen(db.session, name, listener)


def _send_hint_after_commit(session: Session) -> None:
    """Tell a worker which deliveries the transaction has queued."""
    queued = outbox.take_queued(session)
    if queued and current_app:
        send_hint = current_process().send_hint
        if send_hint is not None:
            send_hint(queued)


def make_send_hint(app: Flask) -> SendHint | None:
    """Return the function that sends a hint about queued deliveries.

    Through PgBouncer nobody can listen, so there workers only poll.
    """
    if app.config["BROKER_URL"]:
        from taskbadger.worker.celery import make_publisher  # noqa: PLC0415 - an optional extra

        return Courier(make_publisher(app)).carry
    with app.app_context():
        engine = db.engine
    if engine.dialect.name == "postgresql":
        if not app.config["DATABASE_SESSION_FEATURES"]:
            return None
        return Courier(Notifier(engine).notify).carry
    return Datagram(engine).send
