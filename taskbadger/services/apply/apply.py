"""Applies a file: creates, changes and removes channels, global actions and monitors.

Every entry goes through the services that the API uses, inside a savepoint that is rolled back if
the entry changes nothing. The caller commits everything or nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import datetime
from typing import TypeVar, cast
from uuid import UUID

from sqlalchemy import Select, func, select

from taskbadger.channels import SendContext
from taskbadger.domain.changes import IsSecret, no_secret
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.monitors import MonitorSettings
from taskbadger.errors import NotFound, TaskBadgerError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig, GlobalAction, Monitor, Organization, Project
from taskbadger.services.alerts import global_actions
from taskbadger.services.alerts.global_actions import GlobalActionChanges
from taskbadger.services.apply.diff import Change, added, changed
from taskbadger.services.apply.file import Document, Entry, FileError, Path, load_entries
from taskbadger.services.delivery import channel_settings, channels
from taskbadger.services.delivery.channel_settings import ChannelChanges
from taskbadger.services.monitors import manage
from taskbadger.services.organizations import projects

ACTOR = Actor("server", "taskbadger-server apply")

_GLOBAL_ACTION_DEFAULTS: Mapping[str, object] = {
    "project": None,
    "name_pattern": "",
    "quiet_period": 0,
}
_KEPT_SETTINGS = ("status", "muted_until")
_MONITOR_DEFAULTS: Mapping[str, object] = {
    setting.name: setting.default
    for setting in fields(MonitorSettings)
    if setting.default is not MISSING and setting.name not in _KEPT_SETTINGS
}
"""What an entry means by leaving a setting out; a pause or a mute is kept."""

Row = TypeVar("Row", GlobalAction, Monitor)


@dataclass
class _Plan:
    """The state of applying a file."""

    document: Document
    organization: Organization
    context: SendContext
    now: datetime
    projects: dict[str, ProjectRef]
    changes: list[Change] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    kept: dict[str, set[int | UUID]] = field(default_factory=dict)
    """The ids of the rows that the file names, by section."""


def find_organization(document: Document, slug: str | None) -> Organization:
    """Return the organization named *slug* or in the file, or the only one; raises FileError."""
    named = document.content.get("organization")
    if slug and named and slug != named:
        raise FileError([document.problem(("organization",), f"Does not match --org {slug}.")])
    wanted = slug or named
    if not wanted:
        found = db.session.scalars(select(Organization).limit(2)).all()
        if len(found) == 1:
            return found[0]
        raise FileError(["name the organization with --org or in the file"])
    organization = db.session.scalar(select(Organization).where(Organization.slug == str(wanted)))
    if organization is None:
        raise FileError([f"there is no organization {wanted}"])
    return organization


def apply(
    document: Document,
    organization: Organization,
    *,
    prune: bool,
    context: SendContext,
    now: datetime,
) -> list[Change]:
    """Change an organization as the file says; return the changes. Raises FileError.

    With *prune*, rows that the file does not name are removed, in the sections that it has.
    """
    sections = load_entries(document)
    plan = _Plan(document, organization, context, now, _projects(organization))
    for section, put in _PUT.items():
        plan.kept[section] = set()
        for at, entry in enumerate(sections.get(section, ())):
            _put(plan, (section, at), put, entry)
        # Entries of the next section may refer to the ones that failed.
        if plan.problems:
            raise FileError(plan.problems)
    if prune:
        for section, remove in _REMOVE.items():
            if section in sections:
                plan.changes += remove(plan)
    return plan.changes


def _projects(organization: Organization) -> dict[str, ProjectRef]:
    found = db.session.scalars(select(Project).where(Project.organization_id == organization.id))
    return {project.slug: projects.project_ref(project, organization) for project in found}


Put = Callable[[_Plan, Path, Entry], "Change | None"]


def _put(plan: _Plan, path: Path, put: Put, entry: Entry) -> None:
    savepoint = db.session.begin_nested()
    try:
        change = put(plan, path, entry)
    except ValidationFailed as error:
        savepoint.rollback()
        plan.problems += plan.document.problems(path, error.errors)
    except TaskBadgerError as error:
        savepoint.rollback()
        plan.problems.append(plan.document.problem(path, error.detail))
    else:
        if change is None:
            savepoint.rollback()
        else:
            savepoint.commit()
            plan.changes.append(change)


def _put_channel(plan: _Plan, path: Path, entry: Entry) -> Change | None:
    integration = entry["integration"]
    subject = f"channel {integration}"
    kind, _, slug = integration.partition(":")
    name = entry.get("name", slug)
    is_secret = channel_settings.is_secret_of(kind)
    if channel_settings.secret_fields(kind) is None:
        detail = f"Unknown kind of channel: “{kind}”."
        raise ValidationFailed.one("integration", detail, "invalid_choice")
    try:
        channel = channels.get_channel(plan.organization.id, integration)
    except NotFound:
        channel = _create_channel(plan, kind, slug, name, entry)
        plan.kept["channels"].add(channel.id)
        return _added(plan, path, subject, channel_settings.fields_of(channel), is_secret)
    plan.kept["channels"].add(channel.id)
    before = channel_settings.fields_of(channel)
    changes = cast(ChannelChanges, {**entry, "name": name})
    if not channel_settings.change(
        channel, changes, context=plan.context, actor=ACTOR, now=plan.now
    ):
        return None
    after = channel_settings.fields_of(channel)
    return _changed(plan, path, subject, before, after, is_secret)


def _create_channel(plan: _Plan, kind: str, slug: str, name: str, entry: Entry) -> ChannelConfig:
    return channels.create_channel(
        plan.organization.id,
        kind,
        slug,
        name,
        {key: value for key, value in entry["config"].items() if value is not None},
        context=plan.context,
        actor=ACTOR,
        now=plan.now,
        enabled=entry.get("enabled", True),
    )


def _put_global_action(plan: _Plan, path: Path, entry: Entry) -> Change | None:
    subject = f"global action {entry['name']}"
    where = (
        GlobalAction.organization_id == plan.organization.id,
        GlobalAction.name == entry["name"],
    )
    global_action = _find_only(select(GlobalAction).where(*where), "global actions")
    data = cast(GlobalActionChanges, {**_GLOBAL_ACTION_DEFAULTS, **entry})
    if global_action is None:
        global_action = global_actions.create_global_action(
            plan.organization.id, data, actor=ACTOR, now=plan.now
        )
        plan.kept["global_actions"].add(global_action.id)
        return _added(plan, path, subject, _global_action_fields(global_action))
    plan.kept["global_actions"].add(global_action.id)
    before = _global_action_fields(global_action)
    global_actions.update_global_action(
        plan.organization.id, global_action.id, data, actor=ACTOR, now=plan.now
    )
    return _changed(plan, path, subject, before, _global_action_fields(global_action))


def _global_action_fields(global_action: GlobalAction) -> dict[str, object]:
    values = global_actions.fields_of(global_action)
    return {name: value for name, value in values.items() if name != "name"}


def _put_monitor(plan: _Plan, path: Path, entry: Entry) -> Change | None:
    subject = f"monitor {entry['project']}/{entry['name']}"
    project = plan.projects.get(entry["project"])
    if project is None:
        detail = f"There is no project “{entry['project']}” in this organization."
        raise ValidationFailed.one("project", detail, "does_not_exist")
    where = (Monitor.project_id == project.id, Monitor.name == entry["name"])
    monitor = _find_only(select(Monitor).where(*where), "monitors")
    data = {**_MONITOR_DEFAULTS, **entry}
    if monitor is None:
        monitor = manage.create_monitor(project, data, now=plan.now, actor=ACTOR)
        plan.kept["monitors"].add(monitor.id)
        return _added(plan, path, subject, _monitor_fields(monitor))
    plan.kept["monitors"].add(monitor.id)
    before = _monitor_fields(monitor)
    manage.update_monitor(project, monitor.id, data, now=plan.now, actor=ACTOR)
    return _changed(plan, path, subject, before, _monitor_fields(monitor))


def _monitor_fields(monitor: Monitor) -> dict[str, object]:
    values = asdict(manage.settings_of(monitor))
    del values["name"]
    kept = {name: values.pop(name) for name in _KEPT_SETTINGS}
    return {**values, **kept}


def _find_only(query: "Select[Row]", what: str) -> Row | None:
    """Return the only row of *query*, or None; raises TaskBadgerError if there are several."""
    count = db.session.scalar(select(func.count()).select_from(query.subquery())) or 0
    if count > 1:
        raise TaskBadgerError(f"{count} {what} have this name: rename or remove some.")
    return db.session.scalar(query)


def _added(
    plan: _Plan,
    path: Path,
    subject: str,
    after: Mapping[str, object],
    is_secret: IsSecret = no_secret,
) -> Change:
    return added(subject, after, _is_secret(plan, path, is_secret))


def _changed(
    plan: _Plan,
    path: Path,
    subject: str,
    before: Mapping[str, object],
    after: Mapping[str, object],
    is_secret: IsSecret = no_secret,
) -> Change | None:
    return changed(subject, before, after, _is_secret(plan, path, is_secret))


def _is_secret(plan: _Plan, path: Path, is_secret_of_kind: IsSecret) -> IsSecret:
    def is_secret(name: str) -> bool:
        from_environment = plan.document.is_secret((*path, *name.split(".")))
        return from_environment or is_secret_of_kind(name)

    return is_secret


def _remove_monitors(plan: _Plan) -> Iterator[Change]:
    for project in plan.projects.values():
        query = select(Monitor).where(Monitor.project_id == project.id).order_by(Monitor.name)
        for monitor in db.session.scalars(query).all():
            if monitor.id not in plan.kept["monitors"]:
                yield Change("-", f"monitor {project.slug}/{monitor.name}")
                manage.delete_monitor(project, monitor.id, now=plan.now, actor=ACTOR)


def _remove_global_actions(plan: _Plan) -> Iterator[Change]:
    for global_action in global_actions.list_global_actions(plan.organization.id):
        if global_action.id not in plan.kept["global_actions"]:
            yield Change("-", f"global action {global_action.name}")
            global_actions.delete_global_action(
                plan.organization.id, global_action.id, actor=ACTOR, now=plan.now
            )


def _remove_channels(plan: _Plan) -> Iterator[Change]:
    for channel in channels.list_channels(plan.organization.id):
        if channel.id not in plan.kept["channels"]:
            integration = f"{channel.kind}:{channel.slug}"
            yield Change("-", f"channel {integration}")
            channels.delete_channel(channel, actor=ACTOR, now=plan.now)


_PUT: Mapping[str, Put] = {
    "channels": _put_channel,
    "global_actions": _put_global_action,
    "monitors": _put_monitor,
}
_REMOVE: Mapping[str, Callable[[_Plan], Iterator[Change]]] = {
    "monitors": _remove_monitors,
    "global_actions": _remove_global_actions,
    "channels": _remove_channels,
}
