"""The endpoints of channels."""

import json
import time
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from flask import Flask, Response
from flask.views import MethodView
from flask_smorest import Api

from taskbadger import time_limit
from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import ApiBlueprint, current_access, current_actor
from taskbadger.blueprints.listing import answer, answer_page
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.domain.identity import Actor
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig
from taskbadger.process import current_process
from taskbadger.schemas.channels import (
    Channel,
    ChannelRequest,
    ChannelTest,
    PaginatedChannelList,
    PatchedChannelRequest,
    show_channel,
)
from taskbadger.schemas.errors import Error
from taskbadger.services.delivery import channel_settings, channels, sending
from taskbadger.services.delivery.channel_settings import ChannelChanges
from taskbadger.services.delivery.sending import ChannelTestOutcome


def locate(view_args: dict[str, Any]) -> None:
    """Raise NotFound unless the channel of the URL exists."""
    if "integration" in view_args:
        find_channel(view_args["integration"])


blp = ApiBlueprint(
    "channels",
    __name__,
    url_prefix="/api/<organization_slug>/-/channels",
    locate=locate,
    write_scope=scopes.ADMIN,
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
        organization_id = current_access().organization_id
        return answer_page(
            lambda cursor, size: channels.list_page(organization_id, cursor, size), _show
        )

    @blp.arguments(ChannelRequest)
    @blp.response(201, Channel)
    @blp.alt_response(409, schema=Error)
    @blp.doc(operationId="channel_create")
    def post(self, data: dict[str, Any]) -> Response:
        """Create Channel

        Create a channel
        """
        channel = channels.create_channel(
            current_access().organization_id,
            data["kind"],
            data["slug"],
            data.get("name", data["slug"]),
            data["config"],
            context=current_process().send_context,
            actor=current_actor(),
            now=utcnow(),
            enabled=data.get("enabled", True),
        )
        return _done(
            channel, 201, channel_settings.generated_secrets(channel, data["config"], before={})
        )


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
    def patch(self, data: ChannelChanges, integration: str) -> Response:
        """Update Channel (partial)

        Change a channel; config is replaced as a whole, but omitted secrets are kept
        """
        channel = find_channel(integration)
        before = json.loads(channel.config)
        channel_settings.change(
            channel,
            data,
            context=current_process().send_context,
            actor=current_actor(),
            now=utcnow(),
        )
        sent = data.get("config", {})
        return _done(channel, 200, channel_settings.generated_secrets(channel, sent, before=before))

    @blp.response(204)
    @blp.doc(operationId="channel_delete")
    def delete(self, integration: str) -> Response:
        """Delete Channel

        Delete a channel; its waiting deliveries become dead
        """
        channel = find_channel(integration)
        channels.delete_channel(channel, actor=current_actor(), now=utcnow())
        db.session.commit()
        return Response(status=204)


@blp.route("/<integration>/test/")
class ChannelTests(MethodView):
    """Tests of one channel."""

    @blp.response(200, ChannelTest)
    @blp.alt_response(409, schema=Error)
    @blp.doc(operationId="channel_test")
    def post(self, integration: str) -> Response:
        """Test Channel

        Send a test message now and return the outcome
        """
        return answer(asdict(run_test(find_channel(integration), current_actor())))


def run_test(channel: ChannelConfig, actor: Actor) -> ChannelTestOutcome:
    """Send a test message now; return the outcome. Raises TestUnderWay."""
    claimed = sending.claim_test(channel, now=utcnow())
    target = channels.find_target(claimed.organization_id, claimed.integration)
    # The receiver may take its time: no transaction is open meanwhile.
    db.session.commit()
    began = time.monotonic()
    error = sending.attempt(claimed, target, current_process().send_context)
    took = timedelta(seconds=time.monotonic() - began)
    time_limit.begin()
    outcome = sending.finish_test(claimed, error, took=took, actor=actor, now=utcnow())
    db.session.commit()
    return outcome


def _show(channel: ChannelConfig) -> dict[str, Any]:
    config, secrets = channel_settings.split(channel)
    return show_channel(channel, config=config, secrets=secrets)


def _done(channel: ChannelConfig, status: int, generated_secrets: dict[str, Any]) -> Response:
    """Commit, and answer with the channel and the secrets that the server made just now."""
    shown = _show(channel)
    shown["config"].update(generated_secrets)
    db.session.commit()
    response = answer(shown, status)
    if generated_secrets:
        response.headers["Cache-Control"] = "no-store"
    return response


def register(app: Flask, api: Api) -> None:
    """Add the channel endpoints."""
    api.register_blueprint(blp)
