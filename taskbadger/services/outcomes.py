"""What the outcome of an attempt means: for the delivery, for its receiver, for its channel."""

import json
import random
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, insert, or_, select, update

from taskbadger.channels import DeliveryError, Message
from taskbadger.domain import retries
from taskbadger.extensions import db
from taskbadger.models import Delivery, DeliveryAttempt, Destination
from taskbadger.models.delivery import DEAD, DELIVERED, WAITING
from taskbadger.services import channels, deliveries
from taskbadger.services.channels import FAILING_FOR
from taskbadger.services.claims import Claimed

NOT_THE_RECEIVERS_FAULT = frozenset(
    {"not_configured", "no_channel", "channel_disabled", "bad_channel"}
)
"""Errors of ours, after which other deliveries to the same receiver need not wait."""

_MOST_ADDRESSES = 5
_MILLISECOND = timedelta(milliseconds=1)
_delivery = cast(Table, Delivery.__table__)


def finish(
    claimed: Claimed, error: DeliveryError | None, *, started: datetime, now: datetime
) -> bool:
    """Write down how an attempt ended; *error* is None for a success.

    Returns False, and writes nothing, when the lease was lost: someone else sends it now.
    """
    values = _delivered(now) if error is None else _failed(claimed, error, now)
    written = db.session.execute(
        update(_delivery)
        .where(_delivery.c.id == claimed.id, _delivery.c.token == claimed.token)
        .values(token=None, attempts=claimed.attempts, **values)
    )
    if not written.rowcount:  # type: ignore[attr-defined]
        return False
    _record_attempt(claimed, error, started, now)
    if error is None:
        _note_success(claimed, now)
    elif claimed.kind != "test":
        _note_failure(claimed, error, now)
    return True


def _delivered(now: datetime) -> dict[str, Any]:
    return {
        "state": DELIVERED,
        "next_attempt_at": None,
        "finished": now,
        "error_class": None,
        "error": None,
    }


def _failed(claimed: Claimed, error: DeliveryError, now: datetime) -> dict[str, Any]:
    again = None
    if not error.permanent and claimed.kind != "test":
        again = retries.next_attempt(
            claimed.attempts, now=now, chance=_chance(), retry_after=error.retry_after
        )
    values: dict[str, Any] = {
        "state": WAITING if again else DEAD,
        "next_attempt_at": again,
        "finished": None if again else now,
        "error_class": error.error_class,
        "error": _storable(error.detail),
    }
    if error.remaining is not None:
        values["config"] = json.dumps(error.remaining)
    return values


def _record_attempt(
    claimed: Claimed, error: DeliveryError | None, started: datetime, now: datetime
) -> None:
    db.session.execute(
        insert(DeliveryAttempt).values(
            delivery_id=claimed.id,
            number=claimed.attempts,
            started=started,
            duration_ms=max(0, (now - started) // _MILLISECOND),
            status=error.status if error else None,
            error_class=error.error_class if error else None,
            error=_storable(error.detail) if error else None,
        )
    )


def _storable(detail: str) -> str:
    """Return *detail* without NUL, which PostgreSQL cannot store; a plug-in may have any text."""
    return detail.replace("\x00", "")


def _note_success(claimed: Claimed, now: datetime) -> None:
    # A test that arrives says the same of the destination that it stands for.
    key = claimed.destination.removeprefix("test ")
    db.session.execute(
        update(Destination)
        .where(
            Destination.key.in_({key, claimed.destination}),
            or_(
                Destination.proven.is_(False),
                Destination.failures > 0,
                Destination.seen < now - timedelta(hours=1),
            ),
        )
        .values(proven=True, failures=0, hold_until=None, seen=now)
    )
    channels.note_success(claimed.organization_id, claimed.integration)


def _note_failure(claimed: Claimed, error: DeliveryError, now: datetime) -> None:
    if error.error_class in NOT_THE_RECEIVERS_FAULT:
        return
    if not error.permanent:
        _note_destination(claimed.destination, error, now)
    if channels.note_failure(claimed.organization_id, claimed.integration, now=now):
        _turn_off(claimed, error, now)


def _note_destination(key: str, error: DeliveryError, now: datetime) -> None:
    failures = db.session.scalar(
        select(Destination.failures).where(Destination.key == key).with_for_update()
    )
    failures = (failures or 0) + 1
    hold = retries.hold_until(failures, now=now, chance=_chance(), retry_after=error.retry_after)
    db.session.execute(
        update(Destination)
        .where(Destination.key == key)
        .values(failures=failures, hold_until=hold, seen=now)
    )


def _turn_off(claimed: Claimed, error: DeliveryError, now: datetime) -> None:
    """Give up what waits for a channel that was just turned off, and tell those in charge."""
    organization, integration = claimed.organization_id, claimed.integration
    reason = f"The channel was turned off after {FAILING_FOR.days} days of failures."
    deliveries.give_up(organization, integration, error=reason, now=now)
    slug = channels.organization_slug(organization)
    message = Message(
        id="",
        kind="channel_disabled",
        created=now,
        organization=slug,
        title=f"The channel {integration} was turned off",
        reasons=(
            {"text": reason},
            {"text": f"The last failure: {error.detail}"},
            {"text": "Nothing is lost: repair it, turn it on, and replay its dead deliveries."},
        ),
    )
    addresses = channels.admin_addresses(organization)
    for start in range(0, len(addresses), _MOST_ADDRESSES):
        deliveries.queue(
            message,
            organization_id=organization,
            integration=channels.EMAIL,
            config={"to": ",".join(addresses[start : start + _MOST_ADDRESSES])},
            now=now,
        )


def _chance() -> float:
    return random.random()  # noqa: S311 - spreads attempts, keeps no secret
