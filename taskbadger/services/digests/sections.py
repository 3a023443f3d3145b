"""What the sections of a digest have in common: what they are about, their links and their size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from taskbadger.channels.text import cut, one_line
from taskbadger.domain.digests import Entry, Period, Section
from taskbadger.domain.identity import ProjectRef

MAX_ENTRIES = 20
"""How many entries a section shows."""
COUNT_CAP = 1000
"""How many rows a section reads; what is beyond is not counted."""
MAX_TITLE = 200

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a digest is about, and for whom it is written."""

    organization_id: int
    organization: str
    """The organization's slug."""
    projects: Mapping[int, ProjectRef]
    """Those that the member may see, by id."""
    period: Period
    zone: ZoneInfo
    base_url: str

    @property
    def project_ids(self) -> list[int]:
        """Return the ids of the projects."""
        return list(self.projects)

    def url(self, path: str, **query: str) -> str | None:
        """Return the URL of a page of the organization; None if the server's is unknown."""
        if not self.base_url:
            return None
        rest = f"?{urlencode(query)}" if query else ""
        return f"{self.base_url}/a/{quote(self.organization)}/{path}{rest}"

    def name_url(self, project_id: int, name: str) -> str | None:
        """Return the URL of the page of a name."""
        return self.url(f"names/{quote(self.projects[project_id].slug)}/", name=name)

    def moment(self, moment: datetime) -> str:
        """Format a time of the period as people say it: ``Mon 23 Nov 08:00``."""
        return f"{moment.astimezone(self.zone):%a %d %b %H:%M}"

    def label(self, project_id: int, name: str) -> str:
        """Return the name of tasks or of a monitor with its project."""
        return shown(f"{name} ({self.projects[project_id].slug})")


def shown(text: str) -> str:
    """Return *text* on one line of at most MAX_TITLE characters."""
    return cut(one_line(text), MAX_TITLE)


def section(title: str, rows: Sequence[Row], show: Callable[[Row], Entry]) -> Section:
    """Return a section with the first MAX_ENTRIES of up to COUNT_CAP *rows*."""
    left = len(rows) - MAX_ENTRIES
    more = ""
    if left > 0:
        more = f"and {left:,} or more" if len(rows) >= COUNT_CAP else f"and {left:,} more"
    entries = tuple(show(row) for row in rows[:MAX_ENTRIES])
    return Section(title, entries, len(rows), more)
