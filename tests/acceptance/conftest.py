"""A live server per database, a project per test, and the official SDK beside it."""

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import redis
from acceptance import sdks
from acceptance.live import LiveProject, LiveServer, ServerPool
from acceptance.sdks import LATEST, Sdk, clean_environment, run_script

STANDARD_REDIS = "redis://127.0.0.1:6379/0"
LINES_SHOWN = 30

_install = lru_cache(sdks.install)


@pytest.fixture(scope="session")
def live_servers() -> Iterator[ServerPool]:
    """The servers of :func:`live_server` by backend."""
    servers = ServerPool()
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def live_server(
    backend: str,
    live_servers: ServerPool,
    new_database: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> LiveServer:
    """A gunicorn on an empty database; every test that uses it runs on both databases."""
    return live_servers.get(backend, new_database, tmp_path_factory)


@pytest.fixture
def live(live_server: LiveServer) -> Iterator[LiveProject]:
    """A new project on the live server."""
    with live_server.new_project() as project:
        yield project


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show with a failed test what the server wrote last."""
    report = yield
    server = getattr(item, "funcargs", {}).get("live_server")
    if report.failed and server is not None:
        lines = server.log.read_text(errors="replace").splitlines()[-LINES_SHOWN:]
        report.sections.append(("the server's standard error", "\n".join(lines)))
    return report


@pytest.fixture(scope="session")
def sdk() -> Callable[[str], Sdk]:
    """Return a version of the official SDK, installed when it is first asked for."""
    return _install


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The URL of a running Redis."""
    url = os.environ.get("TASKBADGER_TEST_REDIS", STANDARD_REDIS)
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5) as client:
            client.ping()
    except redis.ConnectionError:
        if os.environ.get("CI"):
            pytest.fail("there is no Redis, and CI must have one")
        pytest.skip("there is no Redis")
    return url


@pytest.fixture(scope="session")
def key_prefix(redis_url: str) -> Iterator[str]:
    """What all our keys in Redis start with; they are deleted at the end."""
    prefix = f"tb_test_{uuid.uuid4().hex[:12]}:"
    yield prefix
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(f"{prefix}*"):
            client.delete(key)


@pytest.fixture
def run_sdk(live: LiveProject, tmp_path: Path) -> Callable[..., Any]:
    """Run one of the scripts with an SDK against the live project; return what it reports."""

    def run(script: str, *arguments: str, version: str = LATEST, **variables: str) -> Any:
        variables = {**live.script_variables, **variables}
        return run_script(_install(version), script, *arguments, cwd=tmp_path, **variables)

    return run


@pytest.fixture
def run_cli(live: LiveProject, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the SDK's command line in a home of its own; ``environment`` replaces the key's."""

    def run(
        *arguments: str, environment: dict[str, str] | None = None, typed: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        variables = live.cli_variables if environment is None else environment
        return subprocess.run(
            [_install(LATEST).cli, *arguments],
            cwd=tmp_path,
            env=clean_environment(
                HOME=str(tmp_path),
                XDG_CONFIG_HOME=str(tmp_path / "settings"),
                COLUMNS="200",
                NO_COLOR="1",
                **variables,
            ),
            input=typed,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
