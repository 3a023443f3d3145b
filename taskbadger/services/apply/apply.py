"""Applies a file: changes projects, and creates, changes and removes the rest that it names.

Every entry goes through the services that the API uses, inside a savepoint that is rolled back if
the entry changes nothing. The caller commits everything or nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import select

from taskbadger.channels import SendContext
from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import NotFound, TaskBadgerError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig, GlobalAction, Organization, Project
from taskbadger.models.action import EVERY
from taskbadger.services.alerts import global_actions
from taskbadger.services.alerts.global_actions import GlobalActionChanges
from taskbadger.services.apply.diff import Change
from taskbadger.services.apply.file import Document, Entry, FileError, Path, load_entries
from taskbadger.services.apply.monitors import put_monitor, remove_in_the_way, remove_monitors
from taskbadger.services.apply.plan import ACTOR, Plan, find_only, plan_added, plan_changed
from taskbadger.services.apply.windows import put_window, remove_windows
from taskbadger.services.delivery import channel_settings, channels
from taskbadger.services.delivery.channel_settings import ChannelChanges
from taskbadger.services.incidents import quiet
from taskbadger.services.organizations import organizations, projects

_GLOBAL_ACTION_DEFAULTS: Mapping[str, object] = {
    "project": None,
    "name_pattern": "",
    "quiet_period": 0,
    "mode": EVERY,
    "remind_after": 0,
    "escalation": (),
    "at_least": None,
    "within": None,
    "wait_for_retry": 0,
}


def find_organization(document: Document, slug: str | None) -> Organization:
    """Return the organization named *slug* or in the file, or the only one; raises FileError."""
    named = document.content.get("organization")
    if slug and named and slug != named:
        raise FileError([document.problem(("organization",), f"Does not match --org {slug}.")])
    wanted = slug or named
    if not wanted:
        found = organizations.list_organizations()
        if len(found) == 1:
            return found[0]
        raise FileError(["name the organization with --org or in the file"])
    organization = organizations.find_organization(str(wanted))
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
    plan = Plan(document, organization, context, now, _projects(organization))
    for section, put in _PUT.items():
        plan.kept[section] = set()
        entries = sections.get(section, [])
        if prune and section == "monitors":
            plan.changes += remove_in_the_way(plan, entries)
        _put_all(plan, section, put, entries)
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


Put = Callable[[Plan, Path, Entry], "Change | None"]


def _put_all(plan: Plan, section: str, put: Put, entries: Sequence[Entry]) -> None:
    """Put the entries of a section.

    One that fails is tried again after the others, because they may let go of a name that it needs.
    """
    waiting, before = list(enumerate(entries)), -1
    while waiting and len(waiting) != before:
        plan.problems, before = [], len(waiting)
        waiting = [
            (at, entry) for at, entry in waiting if not _put(plan, (section, at), put, entry)
        ]


def _put(plan: Plan, path: Path, put: Put, entry: Entry) -> bool:
    """Put an entry; say whether it succeeded. Otherwise, its problems are recorded."""
    savepoint = db.session.begin_nested()
    try:
        change = put(plan, path, entry)
    except ValidationFailed as error:
        savepoint.rollback()
        plan.problems += plan.document.problems(path, error.errors)
        return False
    except TaskBadgerError as error:
        savepoint.rollback()
        plan.problems.append(plan.document.problem(path, error.detail))
        return False
    if change is None:
        savepoint.rollback()
    else:
        savepoint.commit()
        plan.changes.append(change)
    return True


def _put_project(plan: Plan, path: Path, entry: Entry) -> Change | None:
    known = plan.projects.get(entry["slug"])
    if known is None:
        detail = f"There is no project “{entry['slug']}” in this organization."
        raise ValidationFailed.one("slug", detail, "does_not_exist")
    project = db.session.get_one(Project, known.id)
    before = projects.fields_of(project)
    quiet.change_project(project, entry, actor=ACTOR, now=plan.now)
    subject = f"project {project.slug}"
    return plan_changed(plan, path, subject, before, projects.fields_of(project))


def _put_channel(plan: Plan, path: Path, entry: Entry) -> Change | None:
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
        return plan_added(plan, path, subject, channel_settings.fields_of(channel), is_secret)
    plan.kept["channels"].add(channel.id)
    before = channel_settings.fields_of(channel)
    changes = cast(ChannelChanges, {**entry, "name": name})
    if not channel_settings.change(
        channel, changes, context=plan.context, actor=ACTOR, now=plan.now
    ):
        return None
    after = channel_settings.fields_of(channel)
    return plan_changed(plan, path, subject, before, after, is_secret)


def _create_channel(plan: Plan, kind: str, slug: str, name: str, entry: Entry) -> ChannelConfig:
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


def _put_global_action(plan: Plan, path: Path, entry: Entry) -> Change | None:
    subject = f"global action {entry['name']}"
    where = (
        GlobalAction.organization_id == plan.organization.id,
        GlobalAction.name == entry["name"],
    )
    global_action = find_only(select(GlobalAction).where(*where), "global actions")
    data = cast(GlobalActionChanges, {**_GLOBAL_ACTION_DEFAULTS, **entry})
    if global_action is None:
        global_action = global_actions.create_global_action(
            plan.organization.id, data, actor=ACTOR, now=plan.now
        )
        plan.kept["global_actions"].add(global_action.id)
        return plan_added(plan, path, subject, _global_action_fields(global_action))
    plan.kept["global_actions"].add(global_action.id)
    before = _global_action_fields(global_action)
    global_actions.update_global_action(
        plan.organization.id, global_action.id, data, actor=ACTOR, now=plan.now
    )
    return plan_changed(plan, path, subject, before, _global_action_fields(global_action))


def _global_action_fields(global_action: GlobalAction) -> dict[str, object]:
    values = global_actions.fields_of(global_action)
    return {name: value for name, value in values.items() if name != "name"}


def _remove_global_actions(plan: Plan) -> Iterator[Change]:
    for global_action in global_actions.list_global_actions(plan.organization.id):
        if global_action.id not in plan.kept["global_actions"]:
            yield Change("-", f"global action {global_action.name}")
            global_actions.delete_global_action(
                plan.organization.id, global_action.id, actor=ACTOR, now=plan.now
            )


def _remove_channels(plan: Plan) -> Iterator[Change]:
    for channel in channels.list_channels(plan.organization.id):
        if channel.id not in plan.kept["channels"]:
            integration = f"{channel.kind}:{channel.slug}"
            yield Change("-", f"channel {integration}")
            channels.delete_channel(channel, actor=ACTOR, now=plan.now)


_PUT: Mapping[str, Put] = {
    "projects": _put_project,
    "channels": _put_channel,
    "global_actions": _put_global_action,
    "monitors": put_monitor,
    "windows": put_window,
}
_REMOVE: Mapping[str, Callable[[Plan], Iterator[Change]]] = {
    "windows": remove_windows,
    "monitors": remove_monitors,
    "global_actions": _remove_global_actions,
    "channels": _remove_channels,
}
