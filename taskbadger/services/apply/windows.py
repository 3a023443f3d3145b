"""Maintenance windows of a file: their monitors are named by project and name."""

from collections.abc import Iterator, Mapping
from typing import cast

from sqlalchemy import select

from taskbadger.errors import ValidationFailed
from taskbadger.models import MaintenanceWindow, Monitor
from taskbadger.services.apply.diff import Change
from taskbadger.services.apply.file import Entry, Path
from taskbadger.services.apply.plan import ACTOR, Plan, find_only, plan_added, plan_changed
from taskbadger.services.windows import manage
from taskbadger.services.windows.manage import WindowChanges

_DEFAULTS: Mapping[str, object] = {
    "project": None,
    "monitor": None,
    "name_pattern": "",
    "starts": None,
    "ends": None,
    "schedule": None,
    "duration": None,
    "timezone": "UTC",
}


def put_window(plan: Plan, path: Path, entry: Entry) -> Change | None:
    """Create or change the window of an entry; return what changes."""
    subject = f"window {entry['name']}"
    data = cast(WindowChanges, {**_DEFAULTS, **entry})
    named = data["monitor"]
    if named is not None:
        data["monitor"] = _find_monitor_id(plan, named)
    organization_id = plan.organization.id
    where = (
        MaintenanceWindow.organization_id == organization_id,
        MaintenanceWindow.name == entry["name"],
    )
    window = find_only(select(MaintenanceWindow).where(*where), "windows")
    if window is None:
        window = manage.create_window(organization_id, data, actor=ACTOR, now=plan.now)
        plan.kept["windows"].add(window.id)
        return plan_added(plan, path, subject, _window_fields(window))
    plan.kept["windows"].add(window.id)
    before = _window_fields(window)
    manage.update_window(organization_id, window.id, data, actor=ACTOR, now=plan.now)
    return plan_changed(plan, path, subject, before, _window_fields(window))


def _find_monitor_id(plan: Plan, named: str) -> str:
    """Return the id of the monitor that the file calls ``project/name``."""
    slug, _, name = named.partition("/")
    project = plan.projects.get(slug)
    found = None
    if project is not None:
        where = (Monitor.project_id == project.id, Monitor.name == name)
        found = find_only(select(Monitor).where(*where), "monitors")
    if found is None:
        detail = f"There is no monitor “{named}” in this organization. Write project/name."
        raise ValidationFailed.one("monitor", detail, "does_not_exist")
    return str(found.id)


def _window_fields(window: MaintenanceWindow) -> dict[str, object]:
    values = manage.fields_of(window)
    return {name: value for name, value in values.items() if name != "name"}


def remove_windows(plan: Plan) -> Iterator[Change]:
    """Delete the windows that the file does not name, unless they are over anyway."""
    organization_id = plan.organization.id
    for window in manage.list_all_current(organization_id):
        if window.id not in plan.kept["windows"]:
            yield Change("-", f"window {window.name}")
            manage.delete_window(organization_id, window.id, actor=ACTOR, now=plan.now)
