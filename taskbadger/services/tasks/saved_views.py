"""Saved views: named searches that an organization shares."""

from datetime import datetime

from sqlalchemy import func, select

from taskbadger.domain.identity import Actor
from taskbadger.errors import Conflict, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Organization, SavedView
from taskbadger.services.organizations import audit

MAX_VIEWS = 50
MAX_NAME = 80
MAX_SEARCH = 1000


def list_views(organization_id: int) -> list[SavedView]:
    """Return the views of an organization, sorted by name."""
    query = (
        select(SavedView)
        .where(SavedView.organization_id == organization_id)
        .order_by(SavedView.name)
    )
    return list(db.session.scalars(query))


def save_view(
    organization_id: int, name: str, search: str, project: str, *, actor: Actor, now: datetime
) -> SavedView:
    """Save a search as *name*, replacing a view of that name.

    Raises ValidationFailed, and Conflict when there are MAX_VIEWS already.
    """
    name = name.strip()
    if not name or len(name) > MAX_NAME or "\x00" in name:
        raise ValidationFailed.one("name", f"Use a name of 1 to {MAX_NAME} characters.")
    if len(search) > MAX_SEARCH or "\x00" in search:
        raise ValidationFailed.one("search", f"A search can have at most {MAX_SEARCH} characters.")
    _lock_views(organization_id)
    where = SavedView.organization_id == organization_id
    view = db.session.scalar(select(SavedView).where(where, SavedView.name == name))
    if view is None:
        number = db.session.scalar(select(func.count()).select_from(SavedView).where(where)) or 0
        if number >= MAX_VIEWS:
            raise Conflict(f"There are already {MAX_VIEWS} saved views. Delete one first.")
        view = SavedView(organization_id=organization_id, name=name, created=now)
        db.session.add(view)
    view.search = search
    view.project = project
    audit.record(actor, organization_id, "view.save", name, f"{project} {search}".strip(), now=now)
    db.session.flush()
    return view


def delete_view(organization_id: int, view_id: int, *, actor: Actor, now: datetime) -> str:
    """Delete a view; return its name. Raises NotFound."""
    _lock_views(organization_id)
    view = db.session.get(SavedView, view_id)
    if view is None or view.organization_id != organization_id:
        raise NotFound()
    audit.record(actor, organization_id, "view.delete", view.name, now=now)
    db.session.delete(view)
    return view.name


def _lock_views(organization_id: int) -> None:
    """Lock the views of an organization, so that none is saved and deleted at once."""
    # FOR NO KEY UPDATE: inserting a row that refers to the organization does not wait for it.
    db.session.execute(
        select(Organization.id)
        .where(Organization.id == organization_id)
        .with_for_update(key_share=True)
    )
