"""Registers plug-ins: the built-in ones in order, then the installed ones by name."""

from collections.abc import Callable
from importlib.metadata import entry_points

from flask import Flask
from flask_smorest import Api

from taskbadger.blueprints import (
    actions,
    alerts,
    assets,
    batches,
    channels,
    dashboard,
    deliveries,
    docs,
    errors,
    failures,
    global_actions,
    health,
    incidents,
    keys,
    members,
    metrics,
    monitors,
    projects,
    public,
    queues,
    security,
    tasks,
    windows,
)
from taskbadger.blueprints.doors import check_badges, crontabs, healthchecks_api, pings, sentry
from taskbadger.blueprints.public import digest_links, incident_links
from taskbadger.channels import builtin
from taskbadger.worker import hinting

GROUP = "taskbadger.plugins"

BUILT_IN: tuple[Callable[[Flask, Api], None], ...] = (
    errors.register,
    security.register,
    health.register,
    metrics.register,
    tasks.register,
    batches.register,
    actions.register,
    alerts.register,
    failures.register,
    queues.register,
    monitors.register,
    pings.register,
    sentry.register,
    healthchecks_api.register,
    check_badges.register,
    crontabs.register,
    projects.register,
    keys.register,
    members.register,
    channels.register,
    global_actions.register,
    windows.register,
    deliveries.register,
    incidents.register,
    assets.register,
    docs.register,
    dashboard.register,
    public.register,
    incident_links.register,
    digest_links.register,
    builtin.register,
    hinting.register,
)


def register_all(app: Flask, api: Api) -> None:
    """Register every plug-in. If one fails, the server does not start, and the error names it."""
    for register in BUILT_IN:
        _register(register.__module__, register, app, api)
    if not app.config["PLUGINS"]:
        return
    for entry_point in sorted(entry_points(group=GROUP), key=lambda found: found.name):
        try:
            register = entry_point.load()
        except Exception as error:
            _name_plugin(error, entry_point.name)
            raise
        _register(entry_point.name, register, app, api)


def _register(name: str, register: Callable[[Flask, Api], None], app: Flask, api: Api) -> None:
    try:
        register(app, api)
    except Exception as error:
        _name_plugin(error, name)
        raise


def _name_plugin(error: Exception, name: str) -> None:
    error.add_note(f"raised by the Task Badger plug-in “{name}”")
