"""Recording the outcome of an attempt: for the delivery, its receiver and its channel."""

import json
import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Table, insert, or_, select, update

from taskbadger.channels import DeliveryError, Message
from taskbadger.domain import retries
from taskbadger.domain.mail import MAX_RECIPIENTS
from taskbadger.extensions import change_rows, db
from taskbadger.models import Delivery, DeliveryAttempt, Destination
from taskbadger.models.delivery import DEAD, DELIVERED, DROPPED, HELD, WAITING
from taskbadger.services.delivery import channels, dead_letters, outbox
from taskbadger.services.delivery.channels import FAILING_FOR
from taskbadger.services.delivery.claims import Claimed
from taskbadger.services.delivery.windows import Covering

NOT_THE_RECEIVERS_FAULT = frozenset(
    {"not_configured", "no_channel", "channel_disabled", "bad_channel"}
)
"""Errors that neither hold back the receiver's other deliveries nor turn the channel off.

``bad_config`` is not among them: an admin can mend the channel, and is notified when it is turned
off.
"""

_MILLISECOND = timedelta(milliseconds=1)
_delivery = cast(Table, Delivery.__table__)


def finish(
    claimed: Claimed, error: DeliveryError | None, *, started: datetime, now: datetime
) -> bool:
    """Record how an attempt ended; *error* is None for a success.

    Returns False, and records nothing, when the lease was lost: another worker sends it now.
    """
    values = _delivered(now) if error is None else _failed(claimed, error, now)
    written = change_rows(
        update(_delivery)
        .where(_delivery.c.id == claimed.id, _delivery.c.token == claimed.token)
        .values(token=None, attempts=claimed.attempts, **values)
    )
    if not written:
        return False
    _record_attempt(claimed, error, started, now)
    if error is None:
        _note_success(claimed, now)
    elif claimed.kind != "test":
        _note_failure(claimed, error, now)
    return True


def change_claimed(claimed: Claimed, **values: object) -> bool:
    """Change a claimed delivery without an attempt; False, and no change, if the lease was lost.

    With a new state, the lease ends.
    """
    if "state" in values:
        values["token"] = None
    statement = update(_delivery).where(
        _delivery.c.id == claimed.id, _delivery.c.token == claimed.token
    )
    return bool(change_rows(statement.values(values)))


def held_by(name: str) -> str:
    """Return what is recorded of a delivery that the window of this *name* holds back."""
    return f"{HELD}‹{name}›"


def hold(claimed: Claimed, covering: Covering) -> None:
    """Let a claimed delivery wait for the end of a window."""
    change_claimed(
        claimed,
        state=WAITING,
        next_attempt_at=covering.span.end,
        held_by=held_by(covering.name),
    )


def let_go(claimed: Claimed) -> Claimed | None:
    """Return a delivery that a window has held back, as one that it holds no more.

    Returns None if the lease was lost.
    """
    was_held = f"was {claimed.held_by}"
    is_ours = change_claimed(claimed, held_by=was_held)
    return replace(claimed, held_by=was_held) if is_ours else None


def drop(claimed: Claimed, reason: str, *, now: datetime) -> bool:
    """Drop a claimed delivery, and record why; False if the lease was lost."""
    return change_claimed(
        claimed, state=DROPPED, next_attempt_at=None, finished=now, held_by=reason
    )


def _delivered(now: datetime) -> dict[str, object]:
    return {
        "state": DELIVERED,
        "next_attempt_at": None,
        "finished": now,
        "error_class": None,
        "error": None,
    }


def _failed(claimed: Claimed, error: DeliveryError, now: datetime) -> dict[str, object]:
    again = None
    if not error.permanent and claimed.kind != "test":
        again = retries.next_attempt(
            claimed.attempts, now=now, chance=_chance(), retry_after=error.retry_after
        )
    values: dict[str, object] = {
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
    """Return *detail* without NUL, which PostgreSQL cannot store; plug-ins may send any text."""
    return detail.replace("\x00", "")


def _note_success(claimed: Claimed, now: datetime) -> None:
    # A test that arrives proves the destination that it tests, too.
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
    """Give up what waits for a channel that was just turned off, and notify its admins."""
    organization, integration = claimed.organization_id, claimed.integration
    reason = f"The channel was turned off after failing for {FAILING_FOR.days} days."
    dead_letters.give_up(organization, integration, error=reason, now=now)
    slug = channels.organization_slug(organization)
    message = Message(
        id="",
        kind="channel_disabled",
        created=now,
        organization=slug,
        title=f"The channel {integration} was turned off",
        reasons=(
            {"text": reason},
            {"text": f"Last failure: {error.detail}"},
            {"text": "Nothing is lost: fix it, turn it on and retry the undelivered alerts."},
        ),
    )
    addresses = channels.admin_addresses(organization)
    for start in range(0, len(addresses), MAX_RECIPIENTS):
        outbox.queue(
            message,
            organization_id=organization,
            integration=channels.EMAIL,
            config={"to": ",".join(addresses[start : start + MAX_RECIPIENTS])},
            now=now,
        )


def _chance() -> float:
    return random.random()  # noqa: S311 - spreads attempts, keeps no secret
