"""Settings: API keys, which are shown once."""

from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.api import base_url, key_cache
from taskbadger.blueprints.dashboard.access import (
    blp,
    current_actor,
    current_member,
    current_organization,
    find_project,
)
from taskbadger.blueprints.dashboard.forms import UNCHOSEN, Form, read_form, with_unchosen
from taskbadger.blueprints.dashboard.once import answer_again, is_repeated
from taskbadger.blueprints.dashboard.settings_projects import BASE
from taskbadger.blueprints.dashboard.snippets import make_snippets
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import ApiKey
from taskbadger.schemas.settings_forms import KEY_DAYS, KeyForm
from taskbadger.services import accounts, audit, projects

ALREADY_MADE = (
    "The key was made already, and is shown only once. "
    "If it is lost, make another one, and revoke the first in the settings."
)


@blp.page(f"{BASE}/keys/", role=roles.MANAGE_KEYS)
def keys() -> str:
    """Show the keys, but never their secrets."""
    return _list_page(Form())


def _list_page(form: Form) -> str:
    organization_id = current_member().organization_id
    found = projects.list_projects(organization_id)
    return render_template(
        "dashboard/settings_keys.html",
        keys=sorted(accounts.list_keys(organization_id), key=_by_use),
        projects=[*with_unchosen([(one.slug, one.name) for one in found]), ("", "all projects")],
        project=request.args.get("project", ""),
        form=form,
        days=[(str(one), f"for {one} days" if one else "until revoked") for one in KEY_DAYS],
        now=utcnow(),
    )


def _by_use(key: ApiKey) -> tuple[bool, int]:
    """Put the newest first, and those that open nothing any more last."""
    is_over = key.revoked is not None or (key.expires is not None and key.expires <= utcnow())
    return is_over, -key.id


@blp.page(f"{BASE}/keys/", role=roles.MANAGE_KEYS, methods=["POST"])
def create_key() -> Response:
    """Make a key and show it, this once."""
    if is_repeated():
        return answer_again(ALREADY_MADE, url_for("dashboard.keys"))
    form = read_form(KeyForm)
    made = None if form.errors else _create(form)
    if made is None:
        return make_response(_list_page(form), 400)
    key, secret = made
    db.session.commit()
    snippets = []
    if key.project is not None and "ingest" in key.scopes:
        snippets = make_snippets(
            host=base_url(),
            organization=key.organization.slug,
            project=key.project.slug,
            key=secret,
        )
    return make_response(
        render_template("dashboard/settings_key.html", key=key, secret=secret, snippets=snippets)
    )


def _create(form: Form) -> tuple[ApiKey, str] | None:
    """Make the key that *form* asks for; None, and the errors in the form, where that fails."""
    data, now, organization = form.data, utcnow(), current_organization()
    try:
        project = find_project(data["project"]) if data["project"] else None
        key, secret = accounts.create_key(
            organization,
            project,
            name=data["name"],
            scopes=data["scopes"],
            expires=now + data["lasting"] if data["lasting"] else None,
            now=now,
        )
    except ValidationFailed as error:
        form.add(error)
        return None
    except NotFound:
        unchosen = data["project"] == UNCHOSEN
        detail = "Choose a project." if unchosen else "There is no such project."
        form.add(ValidationFailed.one("project", detail, "does_not_exist"))
        return None
    detail = f"{key.prefix}, {key.scopes}, {project.slug if project else 'all projects'}"
    audit.record(current_actor(), organization.id, "key.create", key.name, detail, now=now)
    return key, secret


@blp.page(f"{BASE}/keys/<int:key_id>/revoke", role=roles.MANAGE_KEYS, methods=["POST"])
def revoke_key(key_id: int) -> Response:
    """Revoke a key: every process refuses it within seconds."""
    now, organization_id = utcnow(), current_member().organization_id
    key = accounts.revoke_key(key_id, now=now, organization_id=organization_id)
    audit.record(current_actor(), organization_id, "key.revoke", key.name, key.prefix, now=now)
    digest, name = key.digest, key.name
    db.session.commit()
    key_cache().forget(digest)
    flash(f"The key {name} is revoked.", "success")
    return redirect(url_for("dashboard.keys"), 303)
