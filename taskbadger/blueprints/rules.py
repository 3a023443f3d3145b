"""The endpoints of global actions."""

from collections.abc import Sequence
from typing import Any

from flask import Flask, Response
from flask.views import MethodView
from flask_smorest import Api
from sqlalchemy import select

from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import ApiBlueprint, current_access, current_actor
from taskbadger.blueprints.listing import answer, page_of
from taskbadger.blueprints.tasks import read_paging
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.errors import NotFound
from taskbadger.extensions import db, reading
from taskbadger.models import GlobalAction as Rule
from taskbadger.models import Project
from taskbadger.schemas.rules import (
    MOST_SHOWN,
    DryRun,
    DryRunRequest,
    GlobalAction,
    GlobalActionRequest,
    PaginatedGlobalActionList,
    PatchedGlobalActionRequest,
    show_dry_run,
    show_rule,
)
from taskbadger.services import audit, rules
from taskbadger.services.keyset import read_number, walk


def locate(view_args: dict[str, Any]) -> None:
    """Raise NotFound unless the global action of the URL exists."""
    if "id" in view_args:
        find_rule(view_args["id"])


blp = ApiBlueprint(
    "global_actions",
    __name__,
    url_prefix="/api/<organization_slug>/-/global-actions",
    locate=locate,
    changes=scopes.ADMIN,
    organization_only=True,
)


def find_rule(text: str) -> Rule:
    """Return a global action of the organization; raises NotFound."""
    number = read_number(text)
    if number is None:
        raise NotFound()
    return rules.get_rule(current_access().organization_id, number)


@blp.route("/")
class GlobalActionList(MethodView):
    """The global actions of an organization."""

    @blp.response(200, PaginatedGlobalActionList)
    @blp.doc(operationId="global_action_list", parameters=openapi.PAGING)
    def get(self) -> Response:
        """List Global Actions

        List the global actions, oldest first
        """
        cursor, size = read_paging(parts=1)
        query = select(Rule).where(Rule.organization_id == current_access().organization_id)
        page = walk(query, Rule.id, cursor, size)
        slugs = _slugs(page.rows)
        return page_of(page, size, lambda rule: show_rule(rule, project=slugs.get(rule.project_id)))

    @blp.arguments(GlobalActionRequest)
    @blp.response(201, GlobalAction)
    @blp.doc(operationId="global_action_create")
    def post(self, data: dict[str, Any]) -> Response:
        """Create Global Action

        Create a global action
        """
        rule = rules.create_rule(current_access().organization_id, data, now=utcnow())
        _record("global-action.create", rule, rule.trigger)
        return _done(rule, 201)


@blp.route("/<id>/")
class GlobalActionDetail(MethodView):
    """One global action."""

    @blp.response(200, GlobalAction)
    @blp.doc(operationId="global_action_get")
    def get(self, id: str) -> Response:
        """Get Global Action

        Fetch a global action
        """
        return answer(_show(find_rule(id)))

    @blp.arguments(PatchedGlobalActionRequest)
    @blp.response(200, GlobalAction)
    @blp.doc(operationId="global_action_partial_update")
    def patch(self, data: dict[str, Any], id: str) -> Response:
        """Update Global Action (partial)

        Change a global action; channels, when sent, are replaced
        """
        rule = find_rule(id)
        rules.update_rule(rule.organization_id, rule.id, data, actor=current_actor(), now=utcnow())
        return _done(rule, 200)

    @blp.response(204)
    @blp.doc(operationId="global_action_delete")
    def delete(self, id: str) -> Response:
        """Delete Global Action

        Delete a global action; what it has queued is still delivered
        """
        rule = find_rule(id)
        _record("global-action.delete", rule)
        rules.delete_rule(rule.organization_id, rule.id)
        db.session.commit()
        return Response(status=204)


@blp.route("/dry-run/")
class GlobalActionDryRun(MethodView):
    """What a draft would have done."""

    @blp.arguments(DryRunRequest)
    @blp.response(200, DryRun)
    @blp.doc(operationId="global_action_dry_run")
    def post(self, data: dict[str, Any]) -> Response:
        """Dry Run

        Tell what a draft would have fired over the last days, and change nothing
        """
        # It reads for a while: nobody who writes is to wait for it.
        with reading():
            run = rules.dry_run(
                current_access().organization_id, **data, now=utcnow(), limit=MOST_SHOWN
            )
        return answer(show_dry_run(run))


def _record(verb: str, rule: Rule, detail: str = "") -> None:
    audit.record(current_actor(), rule.organization_id, verb, rule.name, detail, now=utcnow())


def _slugs(found: Sequence[Rule]) -> dict[int | None, str]:
    wanted = {rule.project_id for rule in found if rule.project_id is not None}
    if not wanted:
        return {}
    rows = db.session.execute(select(Project.id, Project.slug).where(Project.id.in_(wanted)))
    return {row.id: row.slug for row in rows}


def _show(rule: Rule) -> dict[str, Any]:
    return show_rule(rule, project=_slugs([rule]).get(rule.project_id))


def _done(rule: Rule, status: int) -> Response:
    shown = _show(rule)
    db.session.commit()
    return answer(shown, status)


def register(app: Flask, api: Api) -> None:
    """Add the global action endpoints."""
    api.register_blueprint(blp)
