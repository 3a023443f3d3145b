"""Settings: API keys, which are shown once."""

from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.api import base_url
from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.forms import UNCHOSEN, Form, read_form, with_unchosen
from taskbadger.blueprints.dashboard.guide.snippets import make_snippets
from taskbadger.blueprints.dashboard.once import answer_again, is_repeated
from taskbadger.blueprints.dashboard.settings.projects import BASE
from taskbadger.blueprints.dashboard.visit import (
    current_actor,
    current_member,
    current_organization,
    own_project,
)
from taskbadger.blueprints.keys import addresses
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import ApiKey
from taskbadger.process import current_process
from taskbadger.schemas.settings_forms import KEY_DAYS, KeyForm
from taskbadger.services.organizations import keys, projects

ALREADY_MADE = (
    "The key was already created and is shown only once. "
    "If you lost it, create another one and revoke the first in the settings."
)


@blp.page(f"{BASE}/keys/", role=roles.MANAGE_KEYS)
def keys_page() -> str:
    """Show the keys, but never their secrets."""
    return _list_page(Form())


def _list_page(form: Form) -> str:
    organization_id = current_member().organization_id
    found = projects.list_projects(organization_id)
    return render_template(
        "dashboard/settings/keys.html",
        keys=sorted(keys.list_keys(organization_id), key=_by_use),
        projects=[
            *with_unchosen([(project.slug, project.name) for project in found]),
            ("", "all projects"),
        ],
        project=request.args.get("project", ""),
        form=form,
        days=[(str(days), f"for {days} days" if days else "until revoked") for days in KEY_DAYS],
        now=utcnow(),
    )


def _by_use(key: ApiKey) -> tuple[bool, int]:
    """Sort the newest first, and revoked and expired keys last."""
    is_over = key.revoked is not None or (key.expires is not None and key.expires <= utcnow())
    return is_over, -key.id


@blp.page(f"{BASE}/keys/", role=roles.MANAGE_KEYS, methods=["POST"], keeps_draft=True)
def create_key() -> Response:
    """Create a key and show it once."""
    if is_repeated():
        return answer_again(ALREADY_MADE, url_for("dashboard.keys_page"))
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
        render_template(
            "dashboard/settings/key.html",
            key=key,
            secret=secret,
            snippets=snippets,
            **addresses(key.project, secret, key.scopes.split(",")),
        )
    )


def _create(form: Form) -> tuple[ApiKey, str] | None:
    """Create the key of *form*; None, with errors in the form, if that fails."""
    data, now = form.data, utcnow()
    try:
        project = own_project(data["project"]) if data["project"] else None
        return keys.create_key(
            current_organization(),
            project,
            name=data["name"],
            scopes=data["scopes"],
            expires=now + data["lasting"] if data["lasting"] else None,
            actor=current_actor(),
            now=now,
        )
    except ValidationFailed as error:
        form.add(error)
        return None
    except NotFound:
        unchosen = data["project"] == UNCHOSEN
        detail = "Choose a project." if unchosen else "This project does not exist."
        form.add(ValidationFailed.one("project", detail, "does_not_exist"))
        return None


@blp.page(f"{BASE}/keys/<int:key_id>/revoke", role=roles.MANAGE_KEYS, methods=["POST"])
def revoke_key(key_id: int) -> Response:
    """Revoke a key. All processes refuse it within seconds."""
    key = keys.find_key(current_member().organization_id, key_id)
    keys.revoke_key(key, actor=current_actor(), now=utcnow())
    digest, name = key.digest, key.name
    db.session.commit()
    current_process().keys.forget(digest)
    flash(f"The key {name} has been revoked.", "success")
    return redirect(url_for("dashboard.keys_page"), 303)
