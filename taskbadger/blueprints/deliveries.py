"""The endpoints of deliveries."""

from typing import Any

from flask import Flask, Response, request
from flask.views import MethodView
from flask_smorest import Api

from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import ApiBlueprint, current_access, current_actor
from taskbadger.blueprints.listing import answer, page_of
from taskbadger.blueprints.tasks import read_paging
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.extensions import db
from taskbadger.models import Delivery as DeliveryRow
from taskbadger.schemas.deliveries import (
    DeliveryDetail,
    PaginatedDeliveryList,
    Replay,
    ReplayRequest,
    show_delivery,
    show_detail,
)
from taskbadger.services import audit, deliveries, delivery_list

_FILTERS = [
    openapi.query("state", "string", "Only waiting, sending, delivered or dead ones, or several."),
    openapi.query("channel", "string", "Only those to this channel, as webhook:ops or email."),
    openapi.query("task", "string", "Only those about this task."),
    openapi.query("since", "string", "Only those queued at this time or later."),
]


blp = ApiBlueprint(
    "deliveries",
    __name__,
    url_prefix="/api/<organization_slug>/-/deliveries",
    changes=scopes.ADMIN,
    organization_only=True,
)


def find_delivery(delivery_id: str) -> DeliveryRow:
    """Return a delivery of the organization; raises NotFound."""
    return deliveries.get_delivery(current_access().organization_id, delivery_id)


@blp.route("/")
class DeliveryList(MethodView):
    """The deliveries of an organization."""

    @blp.response(200, PaginatedDeliveryList)
    @blp.doc(operationId="delivery_list", parameters=[*openapi.PAGING, *_FILTERS])
    def get(self) -> Response:
        """List Deliveries

        List the deliveries of the last 30 days and those that wait, newest first
        """
        filters = delivery_list.read_filters(request.args)
        cursor, size = read_paging(parts=1)
        organization_id = current_access().organization_id
        page = delivery_list.list_deliveries(organization_id, filters, cursor, size)
        firings = delivery_list.firings_of(page.rows)
        return page_of(page, size, lambda row: show_delivery(row, firings.get(row.firing_id)))


@blp.route("/<id>/")
class DeliveryView(MethodView):
    """One delivery."""

    @blp.response(200, DeliveryDetail)
    @blp.doc(operationId="delivery_get")
    def get(self, id: str) -> Response:
        """Get Delivery

        Fetch a delivery with all tries
        """
        return answer(_detail(id))


@blp.route("/<id>/replay/")
class DeliveryReplay(MethodView):
    """Another try of one delivery."""

    @blp.response(200, DeliveryDetail)
    @blp.doc(operationId="delivery_replay")
    def post(self, id: str) -> Response:
        """Replay Delivery

        Try a dead delivery again, from the start of the schedule
        """
        now, organization_id = utcnow(), current_access().organization_id
        deliveries.replay(organization_id, id, now=now)
        audit.record(current_actor(), organization_id, "delivery.replay", id, now=now)
        shown = _detail(id)
        db.session.commit()
        return answer(shown)


@blp.route("/replay/")
class ChannelReplay(MethodView):
    """Another try of all dead deliveries of a channel."""

    @blp.arguments(ReplayRequest)
    @blp.response(200, Replay)
    @blp.doc(operationId="delivery_replay_all")
    def post(self, data: dict[str, Any]) -> Response:
        """Replay Deliveries

        Try all dead deliveries of a channel again
        """
        now, organization_id, channel = utcnow(), current_access().organization_id, data["channel"]
        count = deliveries.replay_channel(organization_id, channel, now=now)
        if count:
            detail = f"{count} deliver{'y' if count == 1 else 'ies'}"
            audit.record(
                current_actor(), organization_id, "delivery.replay-all", channel, detail, now=now
            )
        db.session.commit()
        return answer({"replayed": count})


def _detail(delivery_id: str) -> dict[str, Any]:
    delivery = find_delivery(delivery_id)
    firings = delivery_list.firings_of([delivery])
    attempts = deliveries.list_attempts(delivery_id)
    return show_detail(delivery, next(iter(firings.values()), None), attempts)


def register(app: Flask, api: Api) -> None:
    """Add the delivery endpoints."""
    api.register_blueprint(blp)
