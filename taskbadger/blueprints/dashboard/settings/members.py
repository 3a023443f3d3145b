"""Settings: members, their roles, and invitations."""

from datetime import timedelta

from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.forms import Form, read_form
from taskbadger.blueprints.dashboard.once import answer_again, is_repeated
from taskbadger.blueprints.dashboard.settings.projects import BASE
from taskbadger.blueprints.dashboard.visit import (
    current_actor,
    current_member,
    current_membership,
    current_organization,
)
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.process import current_process
from taskbadger.schemas.people import InvitationForm, RoleForm
from taskbadger.services import invitation_mails
from taskbadger.services.people import invitations, members

ALREADY_INVITED = (
    "The link was already created and is shown only once. "
    "If you lost it, invite the address again: a new link replaces the first."
)


@blp.page(f"{BASE}/members/", role=roles.READ)
def members_page() -> str:
    """Show the members and the open invitations."""
    return _list_page(Form())


def _list_page(form: Form) -> str:
    organization_id, role = current_member().organization_id, current_member().role
    grantable = [
        candidate for candidate in reversed(roles.ROLES) if roles.may_grant(role, candidate)
    ]
    return render_template(
        "dashboard/settings/members.html",
        members=members.list_members(organization_id),
        invitations=invitations.list_open(organization_id, now=utcnow()),
        current=current_membership(),
        grantable=grantable,
        form=form,
    )


@blp.page(
    f"{BASE}/members/<int:member_id>/role",
    role=roles.MANAGE_MEMBERS,
    methods=["POST"],
    keeps_draft=True,
)
def change_role(member_id: int) -> Response:
    """Change the role of a member."""
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
    """Remove a member from the organization."""
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


@blp.page(f"{BASE}/invitations/", role=roles.MANAGE_MEMBERS, methods=["POST"], keeps_draft=True)
def invite() -> Response:
    """Invite an address and show the link once."""
    if is_repeated():
        return answer_again(ALREADY_INVITED, url_for("dashboard.members_page"))
    form = read_form(InvitationForm)
    token = "" if form.errors else _invite(form)
    if not token:
        return make_response(_list_page(form), 400)
    mailed = _mail(token)
    # The Host header may lie, and this link carries a secret: without the setting it is a path.
    path, setting = url_for("dashboard.invitation", token=token), current_process().base_url
    link = setting + path.removeprefix(request.script_root) if setting else path
    return make_response(
        render_template("dashboard/settings/invitation.html", link=link, mailed=mailed, **form.data)
    )


def _mail(token: str) -> str | None:
    """Commit an invitation, with its mail if there can be one; return the delivery's id."""
    settings, now, mailed = current_process().settings, utcnow(), None
    if settings.SMTP_URL and settings.BASE_URL:
        db.session.flush()
        mailed = invitation_mails.queue(invitations.find(token, now=now), now=now)
    db.session.commit()
    return mailed


def _invite(form: Form) -> str:
    """Return the token of a new invitation; empty, with errors in the form, if that fails."""
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
    """Withdraw an invitation."""
    organization_id = current_member().organization_id
    invitations.withdraw(organization_id, invitation_id, actor=current_actor(), now=utcnow())
    db.session.commit()
    flash("The invitation has been withdrawn.", "success")
    return redirect(url_for("dashboard.members_page"), 303)
