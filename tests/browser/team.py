"""A team on a live server: an organization of its own, signed in to in real browsers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from acceptance.live import LiveProject, LiveServer, ServerPool
from people import make_member, session_cookie
from playwright.sync_api import Page

from taskbadger.blueprints.dashboard.visit import COOKIE
from taskbadger.clock import utcnow
from taskbadger.extensions import db, writing
from taskbadger.services.stats import runs

LOOPBACK = "127.0.0.0/8"
"""Where our own receivers listen, to which servers send nothing unless they are told to."""


@dataclass
class Team:
    """An organization with a project, and browsers of its owner."""

    server: LiveServer
    project: LiveProject
    new_page: Callable[..., Page]

    @property
    def home(self) -> str:
        """The address of the overview."""
        return f"{self.server.host}/a/{self.project.organization}/"

    def open(self, path: str = "", *, role: str = "owner", **options: Any) -> Page:
        """Open a page of the organization as somebody with a role."""
        page = self.new_page(**options)
        with self.server.app.app_context(), writing():
            member = make_member(
                f"{role}@{self.project.organization}.example", role, self.project.organization
            )
            token = session_cookie(member)
            db.session.remove()
        page.context.add_cookies([{"name": COOKIE, "value": token, "url": self.server.host}])
        page.goto(self.home + path)
        return page

    def count(self) -> None:
        """Count the runs that have ended, as the background worker does.

        Nobody writes meanwhile, so it need not wait for entries that may still come.
        """
        later = utcnow() + timedelta(hours=1)
        with self.server.app.app_context(), writing():
            while (batch := runs.read_batch(now=later)) is not None:
                runs.count_batch(batch, now=utcnow())
                db.session.commit()
            db.session.remove()


@pytest.fixture(scope="session")
def team_servers() -> Iterator[ServerPool]:
    """The servers of :func:`live_server` by backend."""
    servers = ServerPool(TASKBADGER_OUTBOUND_ALLOW=LOOPBACK)
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def live_server(
    backend: str,
    team_servers: ServerPool,
    new_database: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> LiveServer:
    """A gunicorn on an empty database; every test that uses it runs on both databases."""
    return team_servers.get(backend, new_database, tmp_path_factory)


@pytest.fixture
def team(live_server: LiveServer, new_page: Callable[..., Page]) -> Iterator[Team]:
    """A new team on the live server."""
    with live_server.new_project() as project:
        yield Team(live_server, project, new_page)
