"""The endpoints of channels."""

import json
import time
from datetime import timedelta
from typing import Any

from flask import Flask, Response
from flask.views import MethodView
from flask_smorest import Api
from sqlalchemy import select

from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import ApiBlueprint, current_access, current_actor
from taskbadger.blueprints.listing import answer, answer_page
from taskbadger.channels import DeliveryError
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig
from taskbadger.schemas.channels import (
    Channel,
    ChannelRequest,
    ChannelTest,
    PaginatedChannelList,
    PatchedChannelRequest,
    show_channel,
)
from taskbadger.services import audit, channel_settings, channels, outcomes, sending
from taskbadger.services.accounts import Actor
from taskbadger.services.claims import Claimed
from taskbadger.services.keyset import walk


def locate(view_args: dict[str, Any]) -> None:
    """Raise NotFound unless the channel of the URL exists."""
    if "integration" in view_args:
        find_channel(view_args["integration"])


blp = ApiBlueprint(
    "channels",
    __name__,
    url_prefix="/api/<organization_slug>/-/channels",
    locate=locate,
    changes=scopes.ADMIN,
    organization_only=True,
)


def find_channel(integration: str) -> ChannelConfig:
    """Return a channel of the organization; raises NotFound."""
    if not integration.isprintable():  # PostgreSQL knows no text with NUL in it.
        raise NotFound()
    return channels.get_channel(current_access().organization_id, integration)


@blp.route("/")
class ChannelList(MethodView):
    """The channels of an organization."""

    @blp.response(200, PaginatedChannelList)
    @blp.doc(operationId="channel_list", parameters=openapi.PAGING)
    def get(self) -> Response:
        """List Channels

        List the channels, oldest first
        """
        query = select(ChannelConfig).where(
            ChannelConfig.organization_id == current_access().organization_id
        )
        return answer_page(lambda at, size: walk(query, ChannelConfig.id, at, size), _show)

    @blp.arguments(ChannelRequest)
    @blp.response(201, Channel)
    @blp.doc(operationId="channel_create")
    def post(self, data: dict[str, Any]) -> Response:
        """Create Channel

        Create a channel
        """
        now = utcnow()
        channel = channels.create_channel(
            current_access().organization_id,
            data["kind"],
            data["slug"],
            data.get("name", data["slug"]),
            data["config"],
            context=sending.send_context(),
            now=now,
        )
        if not data.get("enabled", True):
            channels.set_enabled(channel, enabled=False, now=now)
        _record("channel.create", channel, channel.name)
        return _done(channel, 201, channel_settings.made_up(channel, data["config"], before={}))


@blp.route("/<integration>/")
class ChannelDetail(MethodView):
    """One channel."""

    @blp.response(200, Channel)
    @blp.doc(operationId="channel_get")
    def get(self, integration: str) -> Response:
        """Get Channel

        Fetch a channel, without its secrets
        """
        return answer(_show(find_channel(integration)))

    @blp.arguments(PatchedChannelRequest)
    @blp.response(200, Channel)
    @blp.doc(operationId="channel_partial_update")
    def patch(self, data: dict[str, Any], integration: str) -> Response:
        """Update Channel (partial)

        Change a channel; a config is the whole of it, but for the secrets that it leaves out
        """
        channel = find_channel(integration)
        before = json.loads(channel.config)
        channel_settings.change(
            channel, data, context=sending.send_context(), actor=current_actor(), now=utcnow()
        )
        sent = data.get("config", {})
        return _done(channel, 200, channel_settings.made_up(channel, sent, before=before))

    @blp.response(204)
    @blp.doc(operationId="channel_delete")
    def delete(self, integration: str) -> Response:
        """Delete Channel

        Delete a channel; what waits for it is given up
        """
        channel = find_channel(integration)
        _record("channel.delete", channel)
        channels.delete_channel(channel)
        db.session.commit()
        return Response(status=204)


@blp.route("/<integration>/test/")
class ChannelTests(MethodView):
    """Tests of one channel."""

    @blp.response(200, ChannelTest)
    @blp.doc(operationId="channel_test")
    def post(self, integration: str) -> Response:
        """Test Channel

        Send a test message now, and tell what became of it
        """
        return answer(run_test(find_channel(integration), current_actor()))


def run_test(channel: ChannelConfig, actor: Actor) -> dict[str, Any]:
    """Send a test message now; return what ChannelTest describes. Raises TestUnderWay."""
    integration = f"{channel.kind}:{channel.slug}"
    claimed = sending.claim_test(channel, now=utcnow())
    target = channels.find_target(claimed.organization_id, integration)
    # The receiver may take its time: no transaction is open meanwhile.
    db.session.commit()
    began = time.monotonic()
    error = sending.attempt(claimed, target, sending.send_context())
    took = timedelta(seconds=time.monotonic() - began)
    now = utcnow()
    outcomes.finish(claimed, error, started=now - took, now=now)
    detail = "not delivered" if error else "delivered"
    audit.record(actor, claimed.organization_id, "channel.test", integration, detail, now=now)
    db.session.commit()
    return _outcome(claimed, error, took)


def _outcome(claimed: Claimed, error: DeliveryError | None, took: timedelta) -> dict[str, Any]:
    return {
        "delivery": claimed.id,
        "delivered": error is None,
        "status": error.status if error else None,
        "error_class": error.error_class if error else None,
        "error": error.detail if error else None,
        "duration_ms": took // timedelta(milliseconds=1),
    }


def _record(verb: str, channel: ChannelConfig, detail: str = "") -> None:
    audit.record(
        current_actor(),
        channel.organization_id,
        verb,
        f"{channel.kind}:{channel.slug}",
        detail,
        now=utcnow(),
    )


def _show(channel: ChannelConfig) -> dict[str, Any]:
    config, secrets = channel_settings.split(channel)
    return show_channel(channel, config=config, secrets=secrets)


def _done(channel: ChannelConfig, status: int, made_up: dict[str, Any]) -> Response:
    """Commit, and answer with the channel and the secrets that the server made just now."""
    shown = _show(channel)
    shown["config"].update(made_up)
    db.session.commit()
    response = answer(shown, status)
    if made_up:
        response.headers["Cache-Control"] = "no-store"
    return response


def register(app: Flask, api: Api) -> None:
    """Add the channel endpoints."""
    api.register_blueprint(blp)
