"""Making channels, global actions and monitors what a file says.

Every entry goes through the services that the API uses, inside a savepoint: an entry that turns
out to change nothing is undone, so that nothing of it is left, and the caller commits all or none.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from taskbadger.channels import SendContext
from taskbadger.domain.changes import IsSecret, no_secret
from taskbadger.errors import NotFound, TaskBadgerError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import GlobalAction, Monitor, Organization, Project
from taskbadger.services import accounts, audit, channel_settings, channels, monitors, rules
from taskbadger.services.accounts import Actor, ProjectRef
from taskbadger.services.apply_diff import Change, added, changed
from taskbadger.services.apply_file import Document, FileError, Path, load_entries

ACTOR = Actor("server", "taskbadger-server apply")

_RULE_DEFAULTS: Mapping[str, Any] = {"project": None, "name_pattern": "", "quiet_period": 0}
_MONITOR_DEFAULTS: Mapping[str, Any] = {
    "schedule": None,
    "interval": None,
    "anchor": None,
    "timezone": "UTC",
    "start_grace": None,
    "max_runtime": None,
    "early_margin": None,
    "failure_threshold": 1,
    "recovery_threshold": 1,
    "action": [],
}
_MONITOR_FIELDS = ("type", *_MONITOR_DEFAULTS, "status", "muted_until")


@dataclass
class _Plan:
    """What is known while a file is applied."""

    document: Document
    organization: Organization
    context: SendContext
    now: datetime
    projects: dict[str, ProjectRef]
    changes: list[Change] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    kept: dict[str, set[Any]] = field(default_factory=dict)
    """The ids of what the file names, by section."""

    def record(self, verb: str, subject: str, detail: str = "") -> None:
        audit.record(ACTOR, self.organization.id, verb, subject, detail, now=self.now)


def find_organization(document: Document, slug: str | None) -> Organization:
    """Return the organization of *slug*, or of the file, or the only one; raises FileError."""
    named = document.content.get("organization")
    if slug and named and slug != named:
        raise FileError([document.problem(("organization",), f"This is not {slug}.")])
    wanted = slug or named
    if not wanted:
        found = db.session.scalars(select(Organization).limit(2)).all()
        if len(found) == 1:
            return found[0]
        raise FileError(["name the organization, with --org or in the file"])
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
    """Make an organization what the file says; return what that changes. Raises FileError.

    Without *prune* what the file does not name stays; with it, the sections that the file has
    lose it.
    """
    sections = load_entries(document)
    plan = _Plan(document, organization, context, now, _projects(organization))
    for section, put in _PUT.items():
        plan.kept[section] = set()
        for at, entry in enumerate(sections.get(section, ())):
            _put(plan, (section, at), put, entry)
        # Those of the next section may name what has failed here.
        if plan.problems:
            raise FileError(plan.problems)
    if prune:
        for section, remove in _REMOVE.items():
            if section in sections:
                plan.changes += remove(plan)
    return plan.changes


def _projects(organization: Organization) -> dict[str, ProjectRef]:
    found = db.session.scalars(select(Project).where(Project.organization_id == organization.id))
    return {project.slug: accounts.project_ref(project, organization) for project in found}


Put = Callable[[_Plan, Path, dict[str, Any]], "Change | None"]


def _put(plan: _Plan, path: Path, put: Put, entry: dict[str, Any]) -> None:
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


def _put_channel(plan: _Plan, path: Path, entry: dict[str, Any]) -> Change | None:
    integration = entry["integration"]
    subject = f"channel {integration}"
    kind, _, slug = integration.partition(":")
    name = entry.get("name", slug)
    is_secret = channel_settings.is_secret_of(kind)
    if channel_settings.secret_fields(kind) is None:
        detail = f"There is no kind of channel called “{kind}”."
        raise ValidationFailed.one("integration", detail, "invalid_choice")
    try:
        channel = channels.get_channel(plan.organization.id, integration)
    except NotFound:
        channel = channels.create_channel(
            plan.organization.id,
            kind,
            slug,
            name,
            {key: value for key, value in entry["config"].items() if value is not None},
            context=plan.context,
            now=plan.now,
        )
        if not entry.get("enabled", True):
            channels.set_enabled(channel, enabled=False, now=plan.now)
        plan.kept["channels"].add(channel.id)
        plan.record("channel.create", integration, name)
        return _added(plan, path, subject, channel_settings.fields_of(channel), is_secret)
    plan.kept["channels"].add(channel.id)
    before = channel_settings.fields_of(channel)
    if not channel_settings.change(
        channel, {**entry, "name": name}, context=plan.context, actor=ACTOR, now=plan.now
    ):
        return None
    after = channel_settings.fields_of(channel)
    return _changed(plan, path, subject, before, after, is_secret)


def _put_rule(plan: _Plan, path: Path, entry: dict[str, Any]) -> Change | None:
    subject = f"global action {entry['name']}"
    where = (
        GlobalAction.organization_id == plan.organization.id,
        GlobalAction.name == entry["name"],
    )
    rule = _only(select(GlobalAction).where(*where), "global actions")
    data = {**_RULE_DEFAULTS, **entry}
    if rule is None:
        rule = rules.create_rule(plan.organization.id, data, now=plan.now)
        plan.kept["global_actions"].add(rule.id)
        plan.record("global-action.create", rule.name, rule.trigger)
        return _added(plan, path, subject, _rule_fields(rule))
    plan.kept["global_actions"].add(rule.id)
    before = _rule_fields(rule)
    rules.update_rule(plan.organization.id, rule.id, data, actor=ACTOR, now=plan.now)
    return _changed(plan, path, subject, before, _rule_fields(rule))


def _rule_fields(rule: GlobalAction) -> dict[str, Any]:
    """Return what a file says of a global action below its name."""
    fields = rules.fields_of(rule)
    return {name: fields[name] for name in fields if name != "name"}


def _put_monitor(plan: _Plan, path: Path, entry: dict[str, Any]) -> Change | None:
    subject = f"monitor {entry['project']}/{entry['name']}"
    project = plan.projects.get(entry["project"])
    if project is None:
        detail = f"There is no project “{entry['project']}” in this organization."
        raise ValidationFailed.one("project", detail, "does_not_exist")
    where = (Monitor.project_id == project.id, Monitor.name == entry["name"])
    monitor = _only(select(Monitor).where(*where), "monitors")
    data = {**_MONITOR_DEFAULTS, **entry}
    if monitor is None:
        monitor = monitors.create_monitor(project, data, now=plan.now, actor=ACTOR)
        plan.kept["monitors"].add(monitor.id)
        return _added(plan, path, subject, _monitor_fields(monitor))
    plan.kept["monitors"].add(monitor.id)
    before = _monitor_fields(monitor)
    monitors.update_monitor(project, monitor.id, data, now=plan.now, actor=ACTOR)
    return _changed(plan, path, subject, before, _monitor_fields(monitor))


def _monitor_fields(monitor: Monitor) -> dict[str, Any]:
    values = {name: getattr(monitor, name) for name in _MONITOR_FIELDS}
    return {**values, "action": json.loads(monitor.action)}


def _only(query: Any, what: str) -> Any:
    """Return the one row of *query*, or None; raises TaskBadgerError when there are several."""
    count = db.session.scalar(select(func.count()).select_from(query.subquery())) or 0
    if count > 1:
        raise TaskBadgerError(f"There are {count} {what} of this name: rename or remove some.")
    return db.session.scalar(query)


def _added(
    plan: _Plan,
    path: Path,
    subject: str,
    after: Mapping[str, Any],
    is_secret: IsSecret = no_secret,
) -> Change:
    return added(subject, after, _is_secret(plan, path, is_secret))


def _changed(
    plan: _Plan,
    path: Path,
    subject: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
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
                monitors.delete_monitor(project, monitor.id, now=plan.now, actor=ACTOR)


def _remove_rules(plan: _Plan) -> Iterator[Change]:
    for rule in rules.list_rules(plan.organization.id):
        if rule.id not in plan.kept["global_actions"]:
            yield Change("-", f"global action {rule.name}")
            plan.record("global-action.delete", rule.name)
            rules.delete_rule(plan.organization.id, rule.id)


def _remove_channels(plan: _Plan) -> Iterator[Change]:
    for channel in channels.list_channels(plan.organization.id):
        if channel.id not in plan.kept["channels"]:
            integration = f"{channel.kind}:{channel.slug}"
            yield Change("-", f"channel {integration}")
            plan.record("channel.delete", integration)
            channels.delete_channel(channel)


_PUT: Mapping[str, Put] = {
    "channels": _put_channel,
    "global_actions": _put_rule,
    "monitors": _put_monitor,
}
_REMOVE: Mapping[str, Callable[[_Plan], Iterator[Change]]] = {
    "monitors": _remove_monitors,
    "global_actions": _remove_rules,
    "channels": _remove_channels,
}
