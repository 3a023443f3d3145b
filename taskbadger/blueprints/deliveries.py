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
from taskbadger.schemas.errors import Error
from taskbadger.services.delivery import dead_letters, lists

_FILTERS = [
    openapi.query(
        "state",
        "string",
        "Only deliveries in these states, separated by commas: waiting, sending, delivered, dead, "
        "dismissed, dropped.",
    ),
    openapi.query("channel", "string", "Only deliveries to this channel: webhook:ops or email."),
    openapi.query("task", "string", "Only deliveries about this task."),
    openapi.query("since", "string", "Only deliveries queued at this time or later."),
]


blp = ApiBlueprint(
    "deliveries",
    __name__,
    url_prefix="/api/<organization_slug>/-/deliveries",
    write_scope=scopes.ADMIN,
    organization_only=True,
)


def find_delivery(delivery_id: str) -> DeliveryRow:
    """Return a delivery of the organization; raises NotFound."""
    return lists.get_delivery(current_access().organization_id, delivery_id)


@blp.route("/")
class DeliveryList(MethodView):
    """The deliveries of an organization."""

    @blp.response(200, PaginatedDeliveryList)
    @blp.doc(operationId="delivery_list", parameters=[*openapi.PAGING, *_FILTERS])
    def get(self) -> Response:
        """List Deliveries

        List the deliveries of the last 30 days and all waiting ones, newest first
        """
        filters = lists.read_filters(request.args)
        cursor, size = read_paging(parts=1)
        organization_id = current_access().organization_id
        page = lists.list_deliveries(organization_id, filters, cursor, size)
        firings = lists.firings_of(page.rows)
        return page_of(page, size, lambda row: show_delivery(row, firings.get(row.firing_id or 0)))


@blp.route("/<id>/")
class DeliveryView(MethodView):
    """One delivery."""

    @blp.response(200, DeliveryDetail)
    @blp.doc(operationId="delivery_get")
    def get(self, id: str) -> Response:
        """Get Delivery

        Fetch a delivery with all its attempts
        """
        return answer(_detail(id))


@blp.route("/<id>/replay/")
class DeliveryReplay(MethodView):
    """Another try of one delivery."""

    @blp.response(200, DeliveryDetail)
    @blp.alt_response(409, schema=Error)
    @blp.doc(operationId="delivery_replay")
    def post(self, id: str) -> Response:
        """Replay Delivery

        Queue a dead delivery again, restarting its retry schedule
        """
        organization_id = current_access().organization_id
        dead_letters.replay(organization_id, id, actor=current_actor(), now=utcnow())
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

        Queue all dead deliveries of a channel again
        """
        organization_id = current_access().organization_id
        count = dead_letters.replay_channel(
            organization_id, data["channel"], actor=current_actor(), now=utcnow()
        )
        db.session.commit()
        return answer({"replayed": count})


def _detail(delivery_id: str) -> dict[str, Any]:
    delivery = find_delivery(delivery_id)
    firings = lists.firings_of([delivery])
    attempts = lists.list_attempts(delivery_id)
    return show_detail(delivery, next(iter(firings.values()), None), attempts)


def register(app: Flask, api: Api) -> None:
    """Add the delivery endpoints."""
    api.register_blueprint(blp)
