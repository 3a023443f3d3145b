"""The routes of the pages, read from the route table, so that no test forgets a new one."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from flask import Flask
from werkzeug.routing import AnyConverter, BaseConverter, IntegerConverter, Rule, UUIDConverter

from taskbadger.blueprints.dashboard.access import Pages
from taskbadger.blueprints.doors.healthchecks_api import UniqueKey

OPEN = {
    "assets.file",  # the files of the pages
    "docs.page",  # the documentation of the API, below /api/ but a page
    "health.healthz",
    "health.readyz",
    "favicon",
    "crontabs.script",  # for machines whose crontabs it watches
    "metrics.metrics",
}
"""The routes outside of the API that are for programs and have no minimum role. They only read."""
DOORS = {"pings.ping", "check_badges.of_project", "check_badges.of_tag", "check_badges.of_check"}
"""The routes outside of the API for the clients of other services, which have keys of their own."""
DOOR_APIS = {"healthchecks_api", "sentry"}
"""The blueprints below /api/ that answer as other services do."""

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}


def page_rules(app: Flask) -> Iterator[tuple[Rule, str]]:
    """Go through the routes outside the API, with the minimum role of each."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/") or rule.endpoint in OPEN | DOORS:
            continue
        name, _, endpoint = rule.endpoint.rpartition(".")
        pages = app.blueprints.get(name)
        assert isinstance(pages, Pages), f"{rule.rule} declares no minimum role"
        yield rule, pages.minimum_roles[endpoint]


def is_door_api(rule: Rule) -> bool:
    """Say whether a route below /api/ answers as another service does."""
    return rule.endpoint.partition(".")[0] in DOOR_APIS


def path_of(rule: Rule, organization: str = "acme") -> str:
    """Return an address of *rule*, with something made up for each part."""
    values = {name: example(rule._converters[name]) for name in rule.arguments}
    if "organization_slug" in values:
        values["organization_slug"] = organization
    built = rule.build(values)
    assert built is not None
    return built[1]


def example(converter: BaseConverter) -> Any:
    if isinstance(converter, IntegerConverter):
        return 1
    if isinstance(converter, UUIDConverter):
        return UUID(int=1)
    if isinstance(converter, AnyConverter):
        return min(converter.items)
    if isinstance(converter, UniqueKey):
        return "f" * 40
    return "x"


def method_of(rule: Rule) -> str:
    unsafe = sorted(UNSAFE & (rule.methods or set()))
    return unsafe[0] if unsafe else "GET"
