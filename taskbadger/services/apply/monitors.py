"""Applies the monitors of a file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, fields

from sqlalchemy import select

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.monitors import MonitorSettings
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.services.apply.diff import Change
from taskbadger.services.apply.file import Entry, Path, identity
from taskbadger.services.apply.plan import ACTOR, Plan, find_only, plan_added, plan_changed
from taskbadger.services.monitors import manage

_PAUSES = ("status", "muted_until")
_KEPT_SETTINGS = ("slug", "tags", "description", *_PAUSES)
_MONITOR_DEFAULTS: Mapping[str, object] = {
    setting.name: setting.default
    for setting in fields(MonitorSettings)
    if setting.default is not MISSING and setting.name not in _KEPT_SETTINGS
}
"""What an entry means by leaving a setting out.

Its slug, a pause and a mute are kept, and so are the tags and the description, which no entry has.
"""


def put_monitor(plan: Plan, path: Path, entry: Entry) -> Change | None:
    """Create or change the monitor that an entry names; raises ValidationFailed."""
    subject = f"monitor {entry['project']}/{entry['name']}"
    project = plan.projects.get(entry["project"])
    if project is None:
        detail = f"There is no project “{entry['project']}” in this organization."
        raise ValidationFailed.one("project", detail, "does_not_exist")
    monitor = _find(project, entry)
    data = {**_MONITOR_DEFAULTS, **entry}
    if monitor is None:
        monitor = manage.create_monitor(project, data, now=plan.now, actor=ACTOR)
        plan.kept["monitors"].add(monitor.id)
        added = _monitor_fields(monitor)
        del added["name"]
        return plan_added(plan, path, subject, added)
    if monitor.id in plan.kept["monitors"]:
        raise ValidationFailed.one("slug", "Another entry of the file means the same monitor.")
    before = _monitor_fields(monitor)
    manage.update_monitor(project, monitor.id, data, now=plan.now, actor=ACTOR)
    plan.kept["monitors"].add(monitor.id)
    return plan_changed(plan, path, subject, before, _monitor_fields(monitor))


def _find(project: ProjectRef, entry: Entry) -> Monitor | None:
    """Return the monitor that an entry means: by its slug, else by its name."""
    here = select(Monitor).where(Monitor.project_id == project.id)
    if "slug" in entry:
        found = db.session.scalar(here.where(Monitor.slug == entry["slug"]))
        if found is not None:
            return found
    return find_only(here.where(Monitor.name == entry["name"]), "monitors")


def _monitor_fields(monitor: Monitor) -> dict[str, object]:
    values = asdict(manage.settings_of(monitor))
    kept = {name: values.pop(name) for name in _PAUSES}
    return {**values, **kept}


def remove_monitors(plan: Plan) -> Iterator[Change]:
    """Remove the monitors that the file does not name."""
    for project, monitor in _list_monitors(plan):
        if monitor.id not in plan.kept["monitors"]:
            yield _remove(plan, project, monitor)


def remove_in_the_way(plan: Plan, entries: Sequence[Entry]) -> Iterator[Change]:
    """Remove the monitors that the file does not name, and whose task names it gives to others."""
    named = {identity("monitors", entry) for entry in entries}
    slugs = {(entry["project"], entry.get("slug")) for entry in entries}
    taken = {(entry["project"], entry.get("task_name")) for entry in entries}
    for project, monitor in _list_monitors(plan):
        is_taken = monitor.task_name is not None and (project.slug, monitor.task_name) in taken
        is_named = (project.slug, monitor.name) in named or (project.slug, monitor.slug) in slugs
        if is_taken and not is_named:
            yield _remove(plan, project, monitor)


def _list_monitors(plan: Plan) -> Iterator[tuple[ProjectRef, Monitor]]:
    for project in plan.projects.values():
        query = select(Monitor).where(Monitor.project_id == project.id).order_by(Monitor.name)
        for monitor in db.session.scalars(query).all():
            yield project, monitor


def _remove(plan: Plan, project: ProjectRef, monitor: Monitor) -> Change:
    change = Change("-", f"monitor {project.slug}/{monitor.name}")
    manage.delete_monitor(project, monitor.id, now=plan.now, actor=ACTOR)
    return change
