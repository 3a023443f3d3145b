"""The search and the project of a task list, as its URL and its forms give them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import url_for

from taskbadger.blueprints.dashboard.shared import chosen_projects
from taskbadger.blueprints.dashboard.visit import visitor_zone
from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.search import Problem
from taskbadger.domain.search_text import with_term
from taskbadger.errors import NotFound
from taskbadger.services.pagination import Cursor, read_cursor
from taskbadger.services.tasks.filters import Filters
from taskbadger.services.tasks.search.positions import at_and_below
from taskbadger.services.tasks.search.reading import read_search

_ALLOWED = "!$'()*,/:;?@"
"""What RFC 3986 allows in a query besides letters and digits and what separates arguments."""


@dataclass(frozen=True)
class Query:
    """The search and the project of a list."""

    text: str
    project: str
    projects: list[ProjectRef]
    filters: Filters
    problems: tuple[Problem, ...]
    hints: tuple[str, ...]
    zone: str
    """The time zone of days in the search."""

    @property
    def arguments(self) -> dict[str, str]:
        """The parts of the URL that are not empty."""
        found = {"q": self.text, "project": self.project}
        return {name: value for name, value in found.items() if value}

    def href(self, text: str) -> str:
        """Return the address of the list with another search."""
        return _with_search(self._list, text, self.project)

    @cached_property
    def _list(self) -> str:
        # Each row links to several searches, and Flask takes 50 µs to build a URL.
        return url_for("dashboard.task_list")

    def tag_href(self, name: str, value: str) -> str:
        """Return the address of the list narrowed to a tag."""
        return self.href(with_term(self.text, "tag", name, value))


def list_url(text: str, project: str, *, cursor: Cursor | None = None) -> str:
    """Return the address of the list with a search, of one project or (empty) of all."""
    at = "" if cursor is None else cursor.write()
    return _with_search(url_for("dashboard.task_list"), text, project, at)


def _with_search(url: str, text: str, project: str, at: str = "") -> str:
    found = {"q": text, "project": project, "cursor": at}
    arguments = {name: value for name, value in found.items() if value}
    return f"{url}?{urlencode(arguments, safe=_ALLOWED)}" if arguments else url


def read_query(values: Mapping[str, str]) -> Query:
    """Read the search and the project from arguments or a form; raises NotFound."""
    text, project = values.get("q", "").strip(), values.get("project", "")
    projects = chosen_projects(project)
    if project and not projects:
        raise NotFound()
    zone = visitor_zone()
    filters, found = read_search(text, now=utcnow(), zone=ZoneInfo(zone))
    return Query(text, project, projects, filters, found.problems, found.hints, zone)


def read_position(text: str | None) -> Cursor | None:
    """Read where a page begins; raises InvalidCursor."""
    return read_cursor(text, parts=1) if text else None


def read_newest(form: Mapping[str, str]) -> Cursor | None:
    """Return where "all that match" begins: at the newest task that the page knew."""
    newest = read_position(form.get("newest"))
    return None if newest is None else at_and_below(newest)
