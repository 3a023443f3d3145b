"""What a deletion would delete, counted in a time that does not grow with it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, func, literal, or_, select

from taskbadger.domain.digests import OFF
from taskbadger.extensions import db
from taskbadger.models import (
    Action,
    ApiKey,
    ChannelConfig,
    Delivery,
    GlobalAction,
    Identity,
    Incident,
    Invitation,
    MaintenanceWindow,
    Membership,
    Monitor,
    Organization,
    Project,
    SavedView,
    Task,
    User,
    UserSession,
)
from taskbadger.services.deletion import messages
from taskbadger.services.each_project import PROJECT_ID, each_project

COUNTED = 100_000
"""Rows of one kind; where there are more, that is all that is said."""
READ = 10_000
"""Tasks and deliveries that are looked at to count what only they tell."""

_Rows = Select[Any]


class Count(NamedTuple):
    """How many there are of one kind."""

    kind: str
    """In the plural."""
    number: int
    is_more: bool = False
    """Whether there are, or may be, more."""

    @property
    def text(self) -> str:
        """The number in words."""
        return f"{self.number:,} or more" if self.is_more else f"{self.number:,}"


def count_project(project: Project) -> list[Count]:
    """Count what belongs to a project."""
    owned = project.id
    of_monitors = select(Monitor.id).where(Monitor.project_id == owned)
    return [
        _count("tasks", select(Task.id).where(Task.project_id == owned)),
        _count_actions([owned]),
        _count("monitors", select(Monitor.id).where(Monitor.project_id == owned)),
        _count("incidents", select(Incident.id).where(Incident.project_id == owned)),
        _count_deliveries(project),
        _count("alert rules", select(GlobalAction.id).where(GlobalAction.project_id == owned)),
        _count(
            "maintenance windows",
            select(MaintenanceWindow.id).where(
                MaintenanceWindow.organization_id == project.organization_id,
                or_(
                    MaintenanceWindow.project_id == owned,
                    MaintenanceWindow.monitor_id.in_(of_monitors),
                ),
            ),
        ),
        _count("keys", select(ApiKey.id).where(ApiKey.project_id == owned)),
        _count(
            "saved views",
            select(SavedView.id).where(
                SavedView.organization_id == project.organization_id,
                SavedView.project == project.slug,
            ),
        ),
    ]


def count_organization(organization: Organization) -> list[Count]:
    """Count what belongs to an organization."""
    owned = organization.id
    project_ids = db.session.scalars(
        select(Project.id).where(Project.organization_id == owned).order_by(Project.id)
    ).all()
    return [
        Count("projects", len(project_ids)),
        _sum("tasks", project_ids, select(Task.id).where(Task.project_id == PROJECT_ID)),
        _count_actions(project_ids),
        _sum("monitors", project_ids, select(Monitor.id).where(Monitor.project_id == PROJECT_ID)),
        *(
            _count(kind, select(literal(1)).where(owner == owned))
            for kind, owner in (
                ("incidents", Incident.organization_id),
                ("deliveries", Delivery.organization_id),
                ("alert rules", GlobalAction.organization_id),
                ("channels", ChannelConfig.organization_id),
                ("maintenance windows", MaintenanceWindow.organization_id),
                ("keys", ApiKey.organization_id),
                ("members", Membership.organization_id),
                ("invitations", Invitation.organization_id),
                ("saved views", SavedView.organization_id),
            )
        ),
    ]


def count_user(user: User) -> list[Count]:
    """Count what belongs to a user."""
    memberships = select(Membership.id).where(Membership.user_id == user.id)
    return [
        _count("memberships", memberships),
        _count("digests", memberships.where(Membership.digest != OFF)),
        _count("sessions", select(UserSession.id).where(UserSession.user_id == user.id)),
        _count("single sign-ons", select(Identity.id).where(Identity.user_id == user.id)),
    ]


def _count(kind: str, rows: _Rows) -> Count:
    some = rows.limit(COUNTED + 1).subquery()
    found = db.session.scalar(select(func.count()).select_from(some)) or 0
    return Count(kind, min(found, COUNTED), found > COUNTED)


def _sum(kind: str, project_ids: Sequence[int], rows: _Rows) -> Count:
    """Count the rows of each project of several, by a query that names PROJECT_ID."""
    limit = COUNTED // max(len(project_ids), 1)
    counts = _counts(project_ids, rows.limit(limit + 1))
    return Count(kind, sum(min(each, limit) for each in counts), max(counts, default=0) > limit)


def _counts(project_ids: Sequence[int], rows: _Rows) -> Sequence[int]:
    number = select(func.count()).select_from(rows.subquery()).scalar_subquery()
    return db.session.scalars(select(number).select_from(each_project(project_ids))).all()


def _count_actions(project_ids: Sequence[int]) -> Count:
    """Count the actions of the latest tasks of projects."""
    limit = READ // max(len(project_ids), 1)
    tasks = select(Task.id).where(Task.project_id == PROJECT_ID).order_by(Task.id.desc())
    latest = tasks.limit(limit)
    actions = select(Action.id).where(Action.task_id.in_(select(latest.subquery().c.id)))
    found = _counts(project_ids, actions)
    is_more = limit in _counts(project_ids, latest)
    return Count("actions", sum(found), is_more)


def _count_deliveries(project: Project) -> Count:
    """Count the deliveries about a project, among the latest of its organization."""
    latest = (
        select(messages.project_of().label("slug"))
        .where(Delivery.organization_id == project.organization_id)
        .order_by(Delivery.id.desc())
        .limit(READ)
        .subquery()
    )
    read, found = db.session.execute(
        select(func.count(), func.count().filter(latest.c.slug == project.slug))
    ).one()
    return Count("deliveries", found, read == READ)
