"""What open pages share within a process, so that a hundred cost little more than one.

Every open page polls every two seconds. For that long, pages that show the same share its version
and the response that was rendered for it. ``process.py`` has the caches and their limits.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flask import Response, g, request

from taskbadger.blueprints.dashboard.navigation import read_failing
from taskbadger.blueprints.dashboard.visit import current_member
from taskbadger.blueprints.live import Region, is_live_request, render_live
from taskbadger.caches import TimedCache
from taskbadger.domain.identity import ProjectRef
from taskbadger.process import current_process
from taskbadger.services.organizations import projects as project_service
from taskbadger.services.stats.failing import Failing
from taskbadger.services.tasks import versions

T = TypeVar("T")


def share(name: Any, read: Callable[[], T]) -> T:
    """Return the result of *read*; on open pages it may be VERSION_SECONDS old."""
    return _share(current_process().versions, name, read)


def share_longer(name: Any, read: Callable[[], T]) -> T:
    """Return the result of *read*; on open pages it may be COUNT_SECONDS old."""
    return _share(current_process().counts, name, read)


def share_figures(name: Any, read: Callable[[], T]) -> T:
    """Return the result of *read*, which takes long; on open pages it may be a minute old."""
    cache = current_process().figures
    known: T | None = cache.get(name) if is_live_request() else None
    if known is None:
        known = read()
        cache.put(name, known)
    return known


def share_search(name: Any, prepare: Callable[[], T]) -> T:
    """Return the result of *prepare*, a search; open pages share it for COUNT_SECONDS."""
    return _share(current_process().searches, name, prepare)


def _share(cache: TimedCache[Any, Any], name: Any, read: Callable[[], T]) -> T:
    if not is_live_request():
        return read()
    known: T | None = cache.get(name)
    if known is None:
        known = read()
        cache.put(name, known)
    return known


def organization_projects() -> list[ProjectRef]:
    """Return the projects of this page's organization."""
    if "projects" not in g:
        number, slug = current_member().organization_id, current_member().organization
        g.projects = share(
            ("projects", number), lambda: project_service.list_project_refs(number, slug)
        )
    projects: list[ProjectRef] = g.projects
    return projects


def chosen_projects(slug: str) -> list[ProjectRef]:
    """Return the project *slug* of this organization, or all projects if *slug* is empty."""
    return [project for project in organization_projects() if slug in ("", project.slug)]


def last_change(projects: list[ProjectRef]) -> str:
    """Return a text that changes whenever a task of these projects does."""
    name = ("change", tuple(project.id for project in projects))
    return share(name, lambda: versions.last_change(projects))


def share_failing() -> Failing:
    """Return what is failing in this page's organization."""
    number = current_member().organization_id
    name = ("failing", number)
    return share_longer(name, read_failing)


def render_shared(
    template: str,
    version: str,
    context: Callable[[], dict[str, Any]],
    regions: Mapping[str, Region] | None = None,
) -> Response:
    """Respond as render_live does; open pages that show the same share one response.

    The template must show the same to everyone with the same role in the organization. Forms with
    a CSRF token belong outside of the live regions, and omit the token when an open page polls.
    """
    member, failing = current_member(), share_failing().total
    if regions:
        # The number is in the page's title, which is part of no other region.
        regions = {**regions, "title": Region(lambda: {"failing": failing})}
    page = (
        member.organization_id,
        member.role,
        request.script_root,
        request.host_url,
        request.full_path,
    )
    pages = current_process().pages
    return render_live(
        template,
        f"{version}|{failing}",
        lambda: {"failing": failing, **context()},
        regions=regions,
        keep=lambda key, make: pages.get((page, key), make),
    )


def shared_row(key: Any, make: Callable[[], str]) -> str:
    """Return a rendered row; for open pages it is rendered once per *key*."""
    if not is_live_request():
        return make()  # Relative times must be current when no script updates them.
    return current_process().rows.get(key, make)
