"""What open pages share, so that a hundred of them cost little more than one.

Every open page asks again every two seconds. Within a process they share, for as long, the version
of what they show, and the answer that was rendered for it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flask import Flask, Response, current_app, g, request

from taskbadger.blueprints.dashboard.access import current_member, read_failing
from taskbadger.blueprints.live import Region, is_live_request, render_live
from taskbadger.services import task_search
from taskbadger.services.accounts import KeyCache, ProjectRef
from taskbadger.services.failing import Failing

VERSION_SECONDS = 2.0
COUNT_SECONDS = 5.0
"""How long numbers beside tabs may be old on an open page."""
MAX_ANSWERS = 400
MAX_ROWS = 5_000

T = TypeVar("T")


class Answers:
    """The latest rendered answers of a process; each is made by one thread at a time."""

    def __init__(self, most: int = MAX_ANSWERS) -> None:
        self.most = most
        self._kept: OrderedDict[Any, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Any, threading.Lock] = {}

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """Return what is kept under *key*, made where there is nothing."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                kept: T = self._kept[key]
                return kept
            turn = self._making.setdefault(key, threading.Lock())
        with turn:
            return self._make(key, make)

    def _make(self, key: Any, make: Callable[[], T]) -> T:
        with self._lock:
            if key in self._kept:
                kept: T = self._kept[key]
                return kept
        try:
            made = make()
        finally:
            with self._lock:
                self._making.pop(key, None)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
        return made


def init_sharing(app: Flask) -> None:
    """Give *app* the places where its open pages meet."""
    app.extensions["taskbadger_answers"] = Answers()
    app.extensions["taskbadger_rows"] = Answers(MAX_ROWS)
    app.extensions["taskbadger_versions"] = KeyCache(VERSION_SECONDS)
    app.extensions["taskbadger_counts"] = KeyCache(COUNT_SECONDS)


def share(name: Any, read: Callable[[], T], *, place: str = "versions") -> T:
    """Return what *read* gives; for open pages it may be as old as VERSION_SECONDS."""
    if not is_live_request():
        return read()
    cache: KeyCache = current_app.extensions[f"taskbadger_{place}"]
    known: T | None = cache.get(name)
    if known is None:
        known = read()
        cache.put(name, known)
    return known


def organization_projects() -> list[ProjectRef]:
    """Return the projects of this page's organization."""
    if "projects" not in g:
        number, slug = current_member().organization_id, current_member().organization
        g.projects = share(("projects", number), lambda: task_search.find_projects(number, slug))
    projects: list[ProjectRef] = g.projects
    return projects


def chosen_projects(slug: str) -> list[ProjectRef]:
    """Return the project *slug* of this organization, or all of them for an empty one."""
    return [one for one in organization_projects() if slug in ("", one.slug)]


def last_change(projects: list[ProjectRef]) -> str:
    """Return a text that changes whenever a task of these projects does."""
    name = ("change", tuple(project.id for project in projects))
    return share(name, lambda: task_search.last_change(projects))


def share_failing() -> Failing:
    """Return how many things fail in this page's organization."""
    number = current_member().organization_id
    name = ("failing", number)
    return share(name, read_failing, place="counts")


def render_shared(
    template: str,
    version: str,
    context: Callable[[], dict[str, Any]],
    regions: Mapping[str, Region] | None = None,
) -> Response:
    """Answer as render_live does; open pages that show the same get the same answer.

    The template must show the same to everyone with the same role in the organization. Forms with
    a CSRF token stand outside of its live regions, and leave the token out for an open page.
    """
    member, failing = current_member(), share_failing().total
    if regions:
        # The number stands in the title of the page, around all regions.
        regions = {**regions, "title": Region(lambda: failing, dict)}
    page = (
        member.organization_id,
        member.role,
        request.script_root,
        request.host_url,
        request.full_path,
    )
    answers: Answers = current_app.extensions["taskbadger_answers"]
    return render_live(
        template,
        f"{version}|{failing}",
        lambda: {"failing": failing, **context()},
        regions=regions,
        keep=lambda key, make: answers.get((page, key), make),
    )


def shared_row(key: Any, make: Callable[[], str]) -> str:
    """Return a rendered row; for open pages made again only when *key* is new."""
    if not is_live_request():
        return make()  # The words for its times are to be fresh where no script renews them.
    rows: Answers = current_app.extensions["taskbadger_rows"]
    return rows.get(key, make)
