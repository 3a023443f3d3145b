"""The endpoint of queues."""

from flask import Flask, Response
from flask.views import MethodView
from flask_smorest import Api

from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import ApiBlueprint, current_project
from taskbadger.blueprints.listing import answer_page
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.schemas.queues import PaginatedQueueList, show_queue
from taskbadger.services.stats import queues

blp = ApiBlueprint(
    "queues",
    __name__,
    url_prefix="/api/<organization_slug>/<project_slug>/queues",
    write_scope=scopes.ADMIN,
)


@blp.route("/")
class QueueList(MethodView):
    """The queues of a project."""

    @blp.response(200, PaginatedQueueList)
    @blp.doc(operationId="queue_list", parameters=openapi.PAGING)
    def get(self) -> Response:
        """List Queues

        List the queues of the last day with what waits and runs in them
        """
        project, now = current_project(), utcnow()
        return answer_page(
            lambda cursor, size: queues.page_queues(project, cursor, size, now=now), show_queue
        )


def register(app: Flask, api: Api) -> None:
    """Add the endpoint of queues."""
    api.register_blueprint(blp)
