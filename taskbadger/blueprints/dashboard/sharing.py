"""The public addresses of tasks, names and monitors, to be copied."""

import re
from dataclasses import dataclass
from urllib.parse import quote
from uuid import UUID

from taskbadger.blueprints.api import base_url
from taskbadger.domain.identity import ProjectRef
from taskbadger.services.organizations import projects


@dataclass(frozen=True, slots=True)
class Shared:
    """The public page of something, and its badge."""

    page: str
    badge: str
    markdown: str
    """The badge with a link to the page, for a README."""


def share_task(task_id: str, name: str) -> Shared:
    """Return the addresses of a task."""
    return _shared(f"tasks/{task_id}", name)


def share_name(project: ProjectRef, name: str) -> Shared | None:
    """Return the addresses of a name; None where the project shows no public pages."""
    if not projects.has_public_pages(project.id):
        return None
    return _shared(f"{project.organization}/{project.slug}/names/{write_part(name)}", name)


def share_monitor(project: ProjectRef, monitor_id: UUID, name: str) -> Shared | None:
    """Return the addresses of a monitor; None where the project shows no public pages."""
    if not projects.has_public_pages(project.id):
        return None
    return _shared(f"monitors/{monitor_id}", name)


def _shared(path: str, name: str) -> Shared:
    page = f"{base_url()}/public/{path}/"
    badge = f"{page}badge.svg"
    label = re.sub(r"([\\\[\]])", r"\\\1", " ".join(name.split()))
    return Shared(page, badge, f"[![{label}]({badge})]({page})")


def write_part(text: str) -> str:
    """Write any text for a path; slashes stay unless clients or proxies would drop some of them.

    Parentheses are written in full, because they end an address in Markdown.
    """
    is_plain = not {"", ".", ".."} & set(text.split("/"))
    return quote(text, safe="/" if is_plain else "")
