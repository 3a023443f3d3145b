"""The endpoints of an organization's members."""

from typing import Any

from flask import Flask, Response
from flask.views import MethodView
from flask_smorest import Api

from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import ApiBlueprint, current_access, current_actor
from taskbadger.blueprints.listing import answer, answer_page
from taskbadger.clock import utcnow
from taskbadger.domain import roles, scopes
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import Membership
from taskbadger.schemas.accounts import Member, MemberRequest, PaginatedMemberList, show_member
from taskbadger.services.pagination import read_number
from taskbadger.services.people import members

KEY_ROLE = roles.ADMIN
"""The role of admin keys towards members: that of the admins who can create such keys."""


def locate(view_args: dict[str, Any]) -> None:
    """Raise NotFound unless the member of the URL exists."""
    if "id" in view_args:
        find_member(view_args["id"])


blp = ApiBlueprint(
    "members",
    __name__,
    url_prefix="/api/<organization_slug>/-/members",
    locate=locate,
    write_scope=scopes.ADMIN,
    organization_only=True,
)


def find_member(text: str) -> Membership:
    """Return a member of the organization; raises NotFound."""
    number = read_number(text)
    if number is None:
        raise NotFound()
    return members.find_member(current_access().organization_id, number)


@blp.route("/")
class MemberList(MethodView):
    """The members of an organization."""

    @blp.response(200, PaginatedMemberList)
    @blp.doc(operationId="member_list", parameters=openapi.PAGING)
    def get(self) -> Response:
        """List Members

        List the members, oldest first
        """
        organization_id = current_access().organization_id
        return answer_page(
            lambda cursor, size: members.page_of_members(organization_id, cursor, size), show_member
        )


@blp.route("/<id>/")
class MemberDetail(MethodView):
    """One member."""

    @blp.response(200, Member)
    @blp.doc(operationId="member_get")
    def get(self, id: str) -> Response:
        """Get Member

        Fetch a member
        """
        return answer(show_member(find_member(id)))

    @blp.arguments(MemberRequest)
    @blp.response(200, Member)
    @blp.doc(operationId="member_partial_update")
    def patch(self, data: dict[str, Any], id: str) -> Response:
        """Update Member (partial)

        Change the role of a member; keys cannot add or change owners
        """
        member = find_member(id)
        members.change_role(
            member, data["role"], actor=current_actor(), actor_role=KEY_ROLE, now=utcnow()
        )
        shown = show_member(member)
        db.session.commit()
        return answer(shown)

    @blp.response(204)
    @blp.doc(operationId="member_remove")
    def delete(self, id: str) -> Response:
        """Remove Member

        Remove a member from the organization; keys cannot remove owners
        """
        members.remove_member(
            find_member(id), actor=current_actor(), actor_role=KEY_ROLE, now=utcnow()
        )
        db.session.commit()
        return Response(status=204)


def register(app: Flask, api: Api) -> None:
    """Add the member endpoints."""
    api.register_blueprint(blp)
