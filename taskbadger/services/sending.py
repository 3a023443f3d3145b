"""One attempt to deliver: for the worker, and for a test message that someone waits for."""

import json
import logging
from datetime import datetime

from flask import current_app
from marshmallow import ValidationError

from taskbadger.channels import DeliveryError, Message, SendContext
from taskbadger.errors import Conflict
from taskbadger.models import ChannelConfig
from taskbadger.services import claims, deliveries
from taskbadger.services.channels import Target
from taskbadger.services.claims import Claimed

log = logging.getLogger(__name__)

MOST_CRASHES = 10
"""A delivery that so many workers did not survive is given up."""


class TestUnderWay(Conflict):
    """Another test of this channel is under way. Try again in a minute."""


def send_context() -> SendContext:
    """Return what channels need of this server, made once."""
    context: SendContext | None = current_app.extensions.get("taskbadger_send_context")
    if context is None:
        context = SendContext.from_settings(current_app.extensions["taskbadger_settings"])
        current_app.extensions["taskbadger_send_context"] = context
    return context


def claim_test(channel: ChannelConfig, *, now: datetime) -> Claimed:
    """Queue a test message and take it at once, so that no worker sends it; the caller commits.

    Raises TestUnderWay.
    """
    claimed = claims.claim_one(deliveries.queue_test(channel, now=now), now=now)
    if not claimed:
        raise TestUnderWay()
    return claimed[0]


def attempt(claimed: Claimed, target: Target | None, context: SendContext) -> DeliveryError | None:
    """Send once; return what went wrong, whatever it was."""
    if target is None:
        return DeliveryError(
            "The channel does not exist any more.", error_class="no_channel", permanent=True
        )
    if claimed.crashes >= MOST_CRASHES:
        return DeliveryError(
            "Every worker that tried to send it died.", error_class="crash", permanent=True
        )
    if target.disabled and claimed.kind != "test":
        return DeliveryError(
            "The channel is turned off.", error_class="channel_disabled", permanent=True
        )
    try:
        message = Message.from_json(claimed.message)
        target.channel.send(message, target.config, json.loads(claimed.config), context)
    except DeliveryError as error:
        return error
    except (ValidationError, KeyError, ValueError) as error:
        log.exception("a delivery cannot be sent", extra={"delivery": claimed.id})
        return DeliveryError(
            f"The channel's settings are not complete ({type(error).__name__}).",
            error_class="bad_config",
            permanent=True,
        )
    except Exception:
        log.exception("a channel failed in an unknown way", extra={"delivery": claimed.id})
        return DeliveryError("The channel failed in an unknown way.", error_class="bad_channel")
    return None
