"""The endpoint for a batch: many operations on tasks in one request."""

from typing import Any, Never

from flask import Flask, Response, request
from flask.views import MethodView
from flask_smorest import Api
from werkzeug.exceptions import MethodNotAllowed

from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import (
    ApiBlueprint,
    BodyParser,
    base_url,
    current_actor,
    current_place,
    current_project,
    json_response,
)
from taskbadger.blueprints.errors import error_body
from taskbadger.blueprints.tasks import answer_once
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.extensions import retried, transaction
from taskbadger.schemas.batch import (
    CREATE,
    MINIMAL,
    BatchRequest,
    BatchResponse,
    Operation,
)
from taskbadger.schemas.body import Members, read_batch
from taskbadger.schemas.tasks import Place, write_task
from taskbadger.services.tasks import batch
from taskbadger.services.tasks.batch import BatchFailed, Outcome
from taskbadger.settings import MAX_BATCH_BYTES


class _BatchParser(BodyParser):
    @staticmethod
    def read_body(body: bytes) -> Members:
        """Read the body with its operations."""
        return read_batch(body)


class _BatchBlueprint(ApiBlueprint):
    ARGUMENTS_PARSER = _BatchParser()


MAX_RESULTS = 16 * 2**20
"""Characters of results after which the rest has ids only: each may have a task's whole data."""

blp = _BatchBlueprint(
    "batches",
    __name__,
    url_prefix="/api/<organization_slug>/<project_slug>/tasks/batch",
    write_scope=scopes.INGEST,
    min_body_limit=MAX_BATCH_BYTES,
)


@blp.route("/")
class TaskBatch(MethodView):
    """Batches of operations on the tasks of a project."""

    @blp.arguments(BatchRequest)
    @blp.response(200, BatchResponse)
    @blp.doc(operationId="task_batch", parameters=[openapi.IDEMPOTENCY_HEADER])
    def post(self, data: dict[str, Any]) -> Response:
        """Create, update and cancel tasks

        Do up to 1000 operations in order, in one transaction. An operation that fails changes
        nothing and has its error in the results; the others stand, unless atomic is true: then
        any failure is a 409 with the results, and nothing is applied.
        """
        key = request.headers.get("Idempotency-Key")
        try:
            if key is not None:
                return retried(lambda: answer_once(key, lambda: (200, _run(data))))
            text = retried(lambda: _run_alone(data))
        except BatchFailed as error:
            results = _write_results(data, error.outcomes)
            return json_response(f"{error_body(error)[:-1]}, {results[1:]}", error.status)
        return json_response(text)


def refuse() -> Never:
    """Refuse other methods, which would find the rule for a task with the id ``batch``."""
    raise MethodNotAllowed(["OPTIONS", "POST"])


for _rule, _name in (("/", "refuse"), ("", "refuse_bare")):
    blp.add_hidden_rule(_rule, _name, refuse, methods=["GET", "PUT", "PATCH", "DELETE"])


def _run_alone(data: dict[str, Any]) -> str:
    with transaction():
        return _run(data)


def _run(data: dict[str, Any]) -> str:
    outcomes = batch.run(
        current_project(),
        data["operations"],
        clock=utcnow,
        actor=current_actor(),
        base_url=base_url(),
        atomic=data.get("atomic", False),
    )
    return _write_results(data, outcomes)


def _write_results(data: dict[str, Any], outcomes: list[Outcome]) -> str:
    place = None if data.get("return_") == MINIMAL else current_place()
    results, size = [], 0
    for operation, outcome in zip(data["operations"], outcomes, strict=True):
        results.append(_write_result(operation, outcome, place if size < MAX_RESULTS else None))
        size += len(results[-1])
    return f'{{"results":[{",".join(results)}]}}'


def _write_result(operation: Operation, outcome: Outcome, place: Place | None) -> str:
    if outcome.error is not None:
        return f'{{"status":{outcome.error.status},{error_body(outcome.error)[1:]}'
    if outcome.task is None:
        return '{"status":204}'
    start = f'{{"status":{201 if operation.op == CREATE else 200}'
    if place is None:
        return f'{start},"id":"{outcome.task.id}"}}'
    return f'{start},"task":{write_task(outcome.task, place)}}}'


def register(app: Flask, api: Api) -> None:
    """Add the endpoint."""
    api.register_blueprint(blp)
