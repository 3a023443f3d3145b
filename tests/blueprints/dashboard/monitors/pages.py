"""What the tests of the pages of monitors share."""

from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.process import current_process
from taskbadger.services.delivery import channels

MONITORS = "/a/acme/monitors/"
CRON = {
    "name": "nightly backup",
    "project": "web",
    "type": "cron",
    "schedule": "30 2 * * *",
    "timezone": "Europe/Paris",
    "interval": "",
    "anchor": "start",
    "start_grace": "",
    "max_runtime": "1 h",
    "early_margin": "",
    "failure_threshold": "2",
    "recovery_threshold": "1",
    "emails": "ops@example.com, dev@example.com",
}
INTERVAL = CRON | {
    "type": "interval",
    "interval": "10 min",
    "anchor": "end",
    "schedule": "left over",
}


def only_monitor() -> Monitor:
    db.session.rollback()
    db.session.expire_all()
    return db.session.scalars(select(Monitor)).one()


def page_of(monitor: Monitor, rest: str = "") -> str:
    return f"{MONITORS}{monitor.id}/{rest}"


def make_webhook(organization_id: int, slug: str = "ops") -> None:
    channels.create_channel(
        organization_id,
        "webhook",
        slug,
        f"Hook {slug}",
        {"url": "https://hooks.example.com/x"},
        actor=SERVER,
        context=current_process().send_context,
        now=utcnow(),
    )
    db.session.commit()
