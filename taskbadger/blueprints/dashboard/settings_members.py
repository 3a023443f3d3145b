"""Settings: members, their roles, and invitations."""

from datetime import timedelta

from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.api import base_url
from taskbadger.blueprints.dashboard.access import (
    blp,
    current_actor,
    current_member,
    current_membership,
    current_organization,
)
from taskbadger.blueprints.dashboard.forms import Form, read_form
from taskbadger.blueprints.dashboard.once import answer_again, is_repeated
from taskbadger.blueprints.dashboard.settings_projects import BASE
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.schemas.people import InvitationForm, RoleForm
from taskbadger.services import invitations, members

ALREADY_INVITED = (
    "The link was made already, and is shown only once. "
    "If it is lost, invite the address again: that makes another link, and ends the first."
)


@blp.page(f"{BASE}/members/", role=roles.READ)
def members_page() -> str:
    """Show who belongs to the organization, and who is invited."""
    return _list_page(Form())


def _list_page(form: Form) -> str:
    organization_id, role = current_member().organization_id, current_member().role
    grantable = [one for one in reversed(roles.ROLES) if roles.may_grant(role, one)]
    return render_template(
        "dashboard/settings_members.html",
        members=members.list_members(organization_id),
        invitations=invitations.list_open(organization_id, now=utcnow()),
        current=current_membership(),
        grantable=grantable,
        role_choices=[(one, one) for one in grantable],
        form=form,
    )


@blp.page(f"{BASE}/members/<int:member_id>/role", role=roles.MANAGE_MEMBERS, methods=["POST"])
def change_role(member_id: int) -> Response:
    """Give a member another role."""
    member = members.find_member(current_member().organization_id, member_id)
    form = read_form(RoleForm)
    if form.errors:
        return make_response(_list_page(Form()), 400)
    actor, role = current_actor(), current_member().role
    members.change_role(member, form.data["role"], actor=actor, actor_role=role, now=utcnow())
    email = member.user.email
    db.session.commit()
    flash(f"{email} is now {form.data['role']}.", "success")
    return redirect(url_for("dashboard.members_page"), 303)


@blp.page(f"{BASE}/members/<int:member_id>/remove", role=roles.MANAGE_MEMBERS, methods=["POST"])
def remove_member(member_id: int) -> Response:
    """Take a member out of the organization."""
    member = members.find_member(current_member().organization_id, member_id)
    email, role = member.user.email, current_member().role
    members.remove_member(member, actor=current_actor(), actor_role=role, now=utcnow())
    db.session.commit()
    flash(f"{email} is no longer a member.", "success")
    return redirect(url_for("dashboard.members_page"), 303)


@blp.page(f"{BASE}/members/leave", role=roles.READ, methods=["POST"])
def leave() -> Response:
    """Leave the organization."""
    members.leave(current_membership(), actor=current_actor(), now=utcnow())
    db.session.commit()
    return redirect(url_for("dashboard.start"), 303)


@blp.page(f"{BASE}/invitations/", role=roles.MANAGE_MEMBERS, methods=["POST"])
def invite() -> Response:
    """Invite an address and show the link, this once."""
    if is_repeated():
        return answer_again(ALREADY_INVITED, url_for("dashboard.members_page"))
    form = read_form(InvitationForm)
    token = "" if form.errors else _invite(form)
    if not token:
        return make_response(_list_page(form), 400)
    db.session.commit()
    path = url_for("dashboard.invitation", token=token)
    link = base_url() + path.removeprefix(request.script_root)
    return make_response(
        render_template("dashboard/settings_invitation.html", link=link, **form.data)
    )


def _invite(form: Form) -> str:
    """Return the token of a new invitation; none, and the errors in the form, where that fails."""
    try:
        return invitations.invite(
            current_organization(),
            email=form.data["email"],
            role=form.data["role"],
            lasting=timedelta(days=form.data["days"]),
            actor=current_actor(),
            actor_role=current_member().role,
            now=utcnow(),
        )
    except ValidationFailed as error:
        form.add(error)
    return ""


@blp.page(
    f"{BASE}/invitations/<int:invitation_id>/withdraw",
    role=roles.MANAGE_MEMBERS,
    methods=["POST"],
)
def withdraw_invitation(invitation_id: int) -> Response:
    """Make an invitation's link useless."""
    organization_id = current_member().organization_id
    invitations.withdraw(organization_id, invitation_id, actor=current_actor(), now=utcnow())
    db.session.commit()
    flash("The invitation is withdrawn.", "success")
    return redirect(url_for("dashboard.members_page"), 303)
