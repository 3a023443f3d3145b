"""Saved views: searches that a team keeps under a name."""

from datetime import datetime

from sqlalchemy import func, select

from taskbadger.errors import Conflict, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import SavedView
from taskbadger.services import audit
from taskbadger.services.accounts import Actor

MAX_VIEWS = 50
MAX_NAME = 80
MAX_SEARCH = 1000


def list_views(organization_id: int) -> list[SavedView]:
    """Return the views of an organization, by name."""
    query = (
        select(SavedView)
        .where(SavedView.organization_id == organization_id)
        .order_by(SavedView.name)
    )
    return list(db.session.scalars(query))


def save_view(
    organization_id: int, name: str, search: str, project: str, *, actor: Actor, now: datetime
) -> SavedView:
    """Keep a search; a view of that name is replaced. Raises ValidationFailed and Conflict."""
    name = name.strip()
    if not name or len(name) > MAX_NAME or "\x00" in name:
        raise ValidationFailed.one("name", f"A name has 1 to {MAX_NAME} characters.")
    if len(search) > MAX_SEARCH or "\x00" in search:
        raise ValidationFailed.one("search", f"A search has at most {MAX_SEARCH} characters.")
    where = SavedView.organization_id == organization_id
    view = db.session.scalar(select(SavedView).where(where, SavedView.name == name))
    if view is None:
        number = db.session.scalar(select(func.count()).select_from(SavedView).where(where)) or 0
        if number >= MAX_VIEWS:
            raise Conflict(f"There are {MAX_VIEWS} saved views already; delete one first.")
        view = SavedView(organization_id=organization_id, name=name, created=now)
        db.session.add(view)
    view.search = search
    view.project = project
    audit.record(actor, organization_id, "view.save", name, f"{project} {search}".strip(), now=now)
    db.session.flush()
    return view


def delete_view(organization_id: int, view_id: int, *, actor: Actor, now: datetime) -> str:
    """Delete a view; return its name. Raises NotFound."""
    view = db.session.get(SavedView, view_id)
    if view is None or view.organization_id != organization_id:
        raise NotFound()
    audit.record(actor, organization_id, "view.delete", view.name, now=now)
    db.session.delete(view)
    return view.name
