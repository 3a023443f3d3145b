"""Deliveries for tests: a channel, and what a worker does with its messages."""

from datetime import UTC, datetime, timedelta
from typing import Any

from taskbadger.channels import DeliveryError, Message, SendContext
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import (
    ChannelConfig,
    Delivery,
    Destination,
)
from taskbadger.outbound import Sender
from taskbadger.services.delivery import (
    channels,
    claims,
    outbox,
    outcomes,
)
from taskbadger.services.delivery.claims import Claimed
from taskbadger.worker import steps

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
TIMED_OUT = DeliveryError("The receiver did not answer in time.", error_class="timeout")
SECOND = timedelta(seconds=1)


def make_webhook(project: ProjectRef, slug: str) -> ChannelConfig:
    made = channels.create_channel(
        project.organization_id,
        "webhook",
        slug,
        slug,
        {"url": f"http://127.0.0.1:9/{slug}"},
        actor=SERVER,
        context=SendContext(http=Sender.allowing(("127.0.0.0/8",))),
        now=NOW,
    )
    db.session.commit()
    return made


def claim_and_send() -> bool:
    """Do what a worker does once: claim a delivery that is due, and send it."""
    claimed = steps.claim(1)
    for delivery in claimed:
        steps.send(delivery)
    return bool(claimed)


def message(**fields: Any) -> Message:
    values = {"id": "", "kind": "task", "created": NOW, "organization": "acme", "title": "job"}
    return Message(**{**values, **fields})


def queue(
    project: ProjectRef, integration: str = "webhook:ops", now: datetime = NOW, **options: Any
) -> str:
    queued = outbox.queue(
        message(),
        organization_id=project.organization_id,
        integration=integration,
        config={},
        **{"now": now, "at": now, **options},
    )
    db.session.commit()
    assert queued is not None
    return queued


def claim(limit: int = 100, now: datetime = NOW) -> list[Claimed]:
    found = claims.claim(claims.list_receivers(now=now), limit, now=now)
    db.session.commit()
    return found


def finish(claimed: Claimed, error: DeliveryError | None = None, now: datetime = NOW) -> bool:
    written = outcomes.finish(claimed, error, started=now - SECOND, now=now)
    db.session.commit()
    return written


def get(delivery_id: str) -> Delivery:
    db.session.commit()
    db.session.expire_all()
    return db.session.get_one(Delivery, delivery_id)


def prove(key: str) -> None:
    db.session.merge(Destination(key=key, proven=True, failures=0, seen=NOW))
    db.session.commit()
