"""A real gunicorn on a real database, and what a test needs to talk to it."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import flask_migrate
import httpx2
import pytest
from conftest import FIXTURES, settings
from flask import Flask
from processes import gunicorn

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.domain.keys import parse_token
from taskbadger.extensions import db
from taskbadger.services.organizations import keys, organizations, projects

_TIMES = ("created", "updated", "start_time", "end_time")
_numbers = itertools.count(1)


def with_times(task: dict[str, Any]) -> dict[str, Any]:
    """Return *task* with its times read: the SDK writes UTC as +00:00, the server as Z."""
    times = {name: datetime.fromisoformat(task[name]) for name in _TIMES if task.get(name)}
    return {**task, **times}


@dataclass
class LiveProject:
    """A project of its own on a live server, with its keys and a client of its API."""

    host: str
    organization: str
    slug: str
    key: str
    """The project key, as shown to a user."""
    organization_key: str
    client: httpx2.Client

    @property
    def secret(self) -> str:
        """The last part of the project key: what the SDK sends."""
        token = parse_token(self.key)
        assert token is not None
        return token.secret

    @property
    def script_variables(self) -> dict[str, str]:
        """What the scripts of this folder read."""
        return {"LIVE_HOST": self.host, "LIVE_KEY": self.key}

    @property
    def cli_variables(self) -> dict[str, str]:
        """The environment that points the SDK's command line here."""
        return {"TASKBADGER_HOST": self.host, "TASKBADGER_API_KEY": self.key}

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Call the API; *path* is relative to the project."""
        return self.client.request(method, path, **options)

    def read(self, path: str = "/tasks/", **params: Any) -> Any:
        """Return what a GET answers."""
        response = self.client.get(path, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def tasks(self, **params: Any) -> list[dict[str, Any]]:
        """Return the tasks of the project, oldest first."""
        found: list[dict[str, Any]] = self.read(**params)["results"]
        return found[::-1]

    def create(self, **fields: Any) -> dict[str, Any]:
        """Create a task; return it."""
        response = self.client.post("/tasks/", json={"name": "job", **fields})
        assert response.status_code == 201, response.text
        task: dict[str, Any] = response.json()
        return task

    def statuses(self, task_id: str) -> list[str]:
        """Return the statuses that the task has had, in order."""
        events = self.read(f"/tasks/{task_id}/events/")["results"]
        return [event["status"] for event in events if event["type"] != "progress"]


@dataclass
class LiveServer:
    """A running server: its address, its database and what it wrote to standard error."""

    host: str
    app: Flask
    """An application on the same database, in this process."""
    log: Path

    @contextmanager
    def new_project(self) -> Iterator[LiveProject]:
        """Make a project of its own, in an organization of its own."""
        number = next(_numbers)
        organization, slug = f"org-{number}", f"project-{number}"
        with self.app.app_context():
            now = utcnow()
            parent = organizations.ensure_organization(organization, actor=FIXTURES, now=now)
            project = projects.ensure_project(parent, slug, actor=FIXTURES, now=now)
            _, key = keys.create_key(parent, project, actor=SERVER, name="sdk", now=now)
            _, organization_key = keys.create_key(
                parent, None, actor=SERVER, name="legacy", now=now
            )
            db.session.commit()
            db.session.remove()
        with httpx2.Client(
            base_url=f"{self.host}/api/{organization}/{slug}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=30,
            trust_env=False,
        ) as client:
            yield LiveProject(self.host, organization, slug, key, organization_key, client)


@contextmanager
def serve(database_url: str, home: Path, **more: str) -> Iterator[LiveServer]:
    """Run gunicorn on an empty database until the block ends; *more* are variables for it."""
    app = create_app(settings(DATABASE_URL=database_url))
    with app.app_context():
        flask_migrate.upgrade()
        db.engine.dispose()
    options = ("--workers", "2", "--worker-class", "gthread", "--threads", "4")
    variables = {"TASKBADGER_DATABASE_URL": database_url, "TASKBADGER_PLUGINS": "false", **more}
    with gunicorn(home, *options, **variables) as process:
        assert process.get("/readyz")[0] == 200
        yield LiveServer(process.address, app, process.log)
    with app.app_context():
        db.engine.dispose()


class ServerPool:
    """Live servers, one for each backend, that run until the end of all tests."""

    def __init__(self, **variables: str) -> None:
        self._variables = variables
        self._servers: dict[str, LiveServer] = {}
        self._stack = ExitStack()

    def get(
        self, backend: str, new_database: Callable[[], str], folders: pytest.TempPathFactory
    ) -> LiveServer:
        """Return the server of a backend; the first call starts it."""
        if backend not in self._servers:
            serving = serve(new_database(), folders.mktemp("gunicorn"), **self._variables)
            self._servers[backend] = self._stack.enter_context(serving)
        return self._servers[backend]

    def close(self) -> None:
        """Stop all servers."""
        self._stack.close()
