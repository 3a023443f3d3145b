"""Sending: one attempt, by the worker or as a test that somebody waits for."""

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from marshmallow import ValidationError

from taskbadger.channels import DeliveryError, Message, SendContext
from taskbadger.channels.links import with_links
from taskbadger.domain.identity import Actor
from taskbadger.errors import Conflict
from taskbadger.models import ChannelConfig
from taskbadger.services.delivery import claims, outbox, outcomes
from taskbadger.services.delivery.channels import Target
from taskbadger.services.delivery.claims import Claimed
from taskbadger.services.organizations import audit

log = logging.getLogger(__name__)

MAX_CRASHES = 10
"""A delivery is given up after this many worker crashes."""


class TestUnderWay(Conflict):
    """This channel is already being tested. Try again in a minute."""


@dataclass(frozen=True, slots=True)
class ChannelTestOutcome:
    """What became of a test message; `schemas.channels.ChannelTest` describes the fields."""

    delivery: str
    delivered: bool
    status: int | None
    error_class: str | None
    error: str | None
    duration_ms: int


def claim_test(channel: ChannelConfig, *, now: datetime) -> Claimed:
    """Queue a test message and claim it at once, so that no worker sends it; the caller commits.

    Raises TestUnderWay.
    """
    claimed = claims.claim_one(outbox.queue_test(channel, now=now), now=now)
    if not claimed:
        raise TestUnderWay()
    return claimed[0]


def finish_test(
    claimed: Claimed, error: DeliveryError | None, *, took: timedelta, actor: Actor, now: datetime
) -> ChannelTestOutcome:
    """Record how a test ended, in the audit log too."""
    outcomes.finish(claimed, error, started=now - took, now=now)
    detail = "not delivered" if error else "delivered"
    organization_id, integration = claimed.organization_id, claimed.integration
    audit.record(actor, organization_id, "channel.test", integration, detail, now=now)
    return ChannelTestOutcome(
        delivery=claimed.id,
        delivered=error is None,
        status=error.status if error else None,
        error_class=error.error_class if error else None,
        error=error.detail if error else None,
        duration_ms=took // timedelta(milliseconds=1),
    )


def attempt(claimed: Claimed, target: Target | None, context: SendContext) -> DeliveryError | None:
    """Send once; return what went wrong, whatever it was."""
    if target is None:
        return DeliveryError(
            "The channel no longer exists.", error_class="no_channel", permanent=True
        )
    if claimed.crashes >= MAX_CRASHES:
        return DeliveryError(
            f"Workers crashed {MAX_CRASHES} times while they sent it.",
            error_class="crash",
            permanent=True,
        )
    if target.disabled and claimed.kind != "test":
        return DeliveryError(
            "The channel is turned off.", error_class="channel_disabled", permanent=True
        )
    try:
        sent_to = f"someone of {claimed.integration}"
        message = with_links(Message.from_json(claimed.message), sent_to, context)
        target.channel.send(message, target.config, json.loads(claimed.config), context)
    except DeliveryError as error:
        return error
    except (ValidationError, KeyError, ValueError) as error:
        log.exception("a delivery cannot be sent", extra={"delivery": claimed.id})
        return DeliveryError(
            f"The channel's settings are incomplete ({type(error).__name__}).",
            error_class="bad_config",
            permanent=True,
        )
    except Exception:
        log.exception("a channel failed in an unknown way", extra={"delivery": claimed.id})
        return DeliveryError(
            "The channel failed with an unexpected error.", error_class="bad_channel"
        )
    return None
