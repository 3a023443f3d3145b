"""The task endpoints."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Flask, Response, g, request
from flask.views import MethodView
from flask_smorest import Api

from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import (
    ApiBlueprint,
    base_url,
    current_actor,
    current_place,
    current_project,
    json_response,
)
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.errors import Conflict, ValidationFailed
from taskbadger.extensions import transaction
from taskbadger.schemas.body import digest
from taskbadger.schemas.pagination import PaginatedTaskEventList, PaginatedTaskList
from taskbadger.schemas.tasks import (
    PatchedTaskRequest,
    Task,
    TaskRequest,
    write_event,
    write_page,
    write_row,
    write_task,
)
from taskbadger.services import pagination
from taskbadger.services.monitors import manage
from taskbadger.services.pagination import Page
from taskbadger.services.tasks import history, idempotency, lists, reads, write
from taskbadger.services.tasks.filters import Filters


def locate(view_args: dict[str, Any]) -> None:
    """Raise NotFound unless the task of the URL exists."""
    if "id" in view_args:
        reads.check_exists(current_project(), view_args["id"])


blp = ApiBlueprint(
    "tasks",
    __name__,
    url_prefix="/api/<organization_slug>/<project_slug>/tasks",
    locate=locate,
    write_scope=scopes.INGEST,
)
_CREATE_HEADERS = [openapi.MONITOR_HEADER, openapi.IDEMPOTENCY_HEADER]


@blp.route("/")
class TaskList(MethodView):
    """The tasks of a project."""

    @blp.response(200, PaginatedTaskList)
    @blp.doc(operationId="task_list", parameters=[*openapi.PAGING, *openapi.TASK_FILTERS])
    def get(self) -> Response:
        """List Tasks

        List all tasks
        """
        filters = _read_filters()
        cursor, size = read_paging(parts=1)
        page = lists.list_tasks(current_project(), filters, cursor, size)
        place = current_place()
        return page_response(page, [write_row(row, place) for row in page.rows], size)

    @blp.arguments(TaskRequest)
    @blp.response(201, Task)
    @blp.doc(operationId="task_create", parameters=_CREATE_HEADERS)
    def post(self, data: dict[str, Any]) -> Response:
        """Create Task

        Create a task
        """
        key = request.headers.get("Idempotency-Key")
        if key is not None:
            return answer_once(key, lambda: (201, _create(data)), checks=True)
        with transaction():
            text = _create(data)
        return json_response(text, 201)


def _read_filters() -> Filters:
    """Return the filters of this request; ValidationFailed also lists a wrong page size."""
    try:
        return lists.read_filters(request.args.to_dict(flat=False))
    except ValidationFailed as error:
        wrong = list(error.errors)
    try:
        pagination.read_page_size(request.args.get("page_size"))
    except ValidationFailed as error:
        wrong += error.errors
    raise ValidationFailed(wrong)


def _create(data: dict[str, Any]) -> str:
    task = write.create_task(
        current_project(),
        data,
        now=utcnow(),
        actor=current_actor(),
        monitor_id=_monitor_id(),
        base_url=base_url(),
    )
    return write_task(task, current_place())


def answer_once(key: str, make: Callable[[], tuple[int, str]], *, checks: bool = False) -> Response:
    """Return the status and the body that *make* returns, or the first ones with the same *key*.

    Runs *make* in a transaction. Raises KeyReused, KeyInUse and what *make* raises. If *make*
    *checks* the fields of the body, their errors are reported before a conflict.
    """
    now = utcnow()
    project_id = current_project().id
    body = digest(g.body)
    with transaction():
        try:
            answered = idempotency.find_answer(project_id, key, body, now=now)
        except Conflict:
            if checks:
                make()
            raise
        if answered is None:
            status, text = make()
            idempotency.keep_answer(project_id, key, body, status, text, now=now)
            return json_response(text, status)
    status, text = answered
    response = json_response(text, status)
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _monitor_id() -> UUID | None:
    text = request.headers.get(manage.HEADER)
    return None if text is None else manage.find_monitor_id(current_project(), text)


@blp.route("/<id>/")
class TaskDetail(MethodView):
    """One task."""

    @blp.response(200, Task)
    @blp.doc(operationId="task_get")
    def get(self, id: str) -> Response:
        """Get Task

        Fetch a task by ID
        """
        return json_response(write_row(reads.get_wire_task(current_project(), id), current_place()))

    @blp.arguments(TaskRequest)
    @blp.response(200, Task)
    @blp.doc(operationId="task_update")
    def put(self, data: dict[str, Any], id: str) -> Response:
        """Update Task

        Update a task
        """
        return _update(id, data, replace_tags=True)

    @blp.arguments(PatchedTaskRequest, required=False)
    @blp.response(200, Task)
    @blp.doc(operationId="task_partial_update")
    def patch(self, data: dict[str, Any], id: str) -> Response:
        """Update Task (partial)

        Update a task with partial data
        """
        return _update(id, data)

    @blp.response(204)
    @blp.doc(operationId="task_cancel")
    def delete(self, id: str) -> Response:
        """Cancel Task

        Cancel a task
        """
        now, actor = utcnow(), current_actor()
        with transaction():
            write.cancel_task(current_project(), id, now=now, actor=actor, base_url=base_url())
        return Response(status=204)


def add_actions(id: str) -> Response:
    """Treat POST as PATCH, because the published API adds actions by POST to the task's URL."""
    response: Response = TaskDetail().patch(id=id)
    return response


for _rule in ("/<id>/", "/<id>"):
    blp.add_hidden_rule(_rule, f"add_actions{len(_rule)}", add_actions, methods=["POST"])


def _update(id: str, data: dict[str, Any], *, replace_tags: bool = False) -> Response:
    with transaction():
        task = write.update_task(
            current_project(),
            id,
            data,
            now=utcnow(),
            actor=current_actor(),
            replace_tags=replace_tags,
            base_url=base_url(),
        )
    return json_response(write_task(task, current_place()))


@blp.route("/<id>/events/")
class TaskEvents(MethodView):
    """The history of a task."""

    @blp.response(200, PaginatedTaskEventList)
    @blp.doc(operationId="task_events", parameters=openapi.PAGING)
    def get(self, id: str) -> Response:
        """List Events

        List the history of a task, oldest first
        """
        reads.check_exists(current_project(), id)
        cursor, size = read_paging(parts=1)
        page = history.list_events(id, cursor, size)
        return page_response(page, [write_event(row) for row in page.rows], size)


def read_paging(*, parts: int) -> tuple[pagination.Cursor | None, int]:
    """Return cursor and page size of this request; raises InvalidCursor and ValidationFailed."""
    size = pagination.read_page_size(request.args.get("page_size"))
    cursor = request.args.get("cursor")
    return (pagination.read_cursor(cursor, parts=parts) if cursor else None), size


def page_response(page: Page[Any], results: list[str], size: int) -> Response:
    """Return a page with the URLs of the next and the previous one."""
    here = base_url() + request.path
    parameters = list(request.args.items(multi=True))
    return json_response(
        write_page(
            results,
            next_url=pagination.page_url(here, parameters, page.next, size),
            previous_url=pagination.page_url(here, parameters, page.previous, size),
        )
    )


def register(app: Flask, api: Api) -> None:
    """Add the task endpoints."""
    api.register_blueprint(blp)
