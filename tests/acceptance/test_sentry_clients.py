"""Sentry's own clients, unmodified, against the live server: only the DSN is ours."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from acceptance.background import running
from acceptance.live import LiveProject, LiveServer
from acceptance.sdks import SCRIPTS, clean_environment, install_node_packages, install_packages
from processes import wait_until
from skipped import leave_to_faults

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.extensions import db
from taskbadger.models import Organization, Project
from taskbadger.services.organizations import keys

# With brotli beside it, the SDK compresses with that.
PYPI = ["sentry-sdk[celery]==2.75.0", "celery[redis]==5.7.0", "brotli==1.2.1"]
NPM = ["@sentry/node@11.12.0", "@sentry/cli@3.8.0"]
DOORS = Path(__file__).parents[2] / "docs/doors.md"
_PROBLEM = re.compile(r"Unexpected status|HTTP 4|HTTP 5|Rate-limited|failed|rror while sending")


@dataclass
class Sentry:
    """A project, its DSN, and what its runs became."""

    live: LiveProject
    dsn: str

    @property
    def cron(self) -> str:
        """The address of check-ins by one request, with a place for the slug."""
        scheme, _, rest = self.dsn.partition("://")
        key, _, place = rest.partition("@")
        host, _, project = place.rpartition("/")
        return f"{scheme}://{host}/api/{project}/cron/%s/{key}/"

    def runs(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return status, environment and whole seconds of the runs, by the name of the monitor."""
        found: dict[str, list[tuple[Any, ...]]] = {}
        for task in self.live.tasks():
            run = (task["status"], task["tags"].get("environment"), seconds(task))
            found.setdefault(task["name"], []).append(run)
        return found

    def monitors(self) -> dict[str, dict[str, Any]]:
        """Return the monitors by their slugs."""
        return {monitor["slug"]: monitor for monitor in self.live.read("/monitors/")["results"]}

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables of a client: no proxy is between us."""
        return clean_environment(SENTRY_DSN=self.dsn, NO_PROXY="*", no_proxy="*", **more)


def seconds(task: dict[str, Any]) -> int | None:
    if not task["start_time"] or not task["end_time"]:
        return None
    began, ended = (datetime.fromisoformat(task[name]) for name in ("start_time", "end_time"))
    return int((ended - began).total_seconds())


@pytest.fixture(scope="module")
def new_sentry(live_server: LiveServer) -> Iterator[Callable[[], Sentry]]:
    """Make a project with a DSN."""
    made = []

    def make() -> Sentry:
        project = live_server.new_project()
        live = project.__enter__()
        made.append(project)
        with live_server.app.app_context():
            found = db.session.query(Project).filter_by(slug=live.slug).one()
            parent = db.session.get_one(Organization, found.organization_id)
            _, key = keys.create_key(
                parent, found, actor=SERVER, name="admin", now=utcnow(), scopes="admin"
            )
            db.session.commit()
            db.session.remove()
        answer = live.client.post(
            f"{live.host}/api/{live.organization}/-/keys/",
            json={"name": "sentry", "scopes": ["ping"]},
            headers={"Authorization": f"Bearer {key}"},
        )
        assert answer.status_code == 201, answer.text
        return Sentry(live, answer.json()["dsn"])

    yield make
    for project in made:
        project.__exit__(None, None, None)


@pytest.fixture
def sentry(new_sentry: Callable[[], Sentry]) -> Sentry:
    return new_sentry()


@pytest.fixture(scope="session")
def python_home() -> Path:
    """Where Sentry's SDK for Python is."""
    return install_packages("sentry", PYPI)


@pytest.fixture(scope="session")
def node_home() -> Path:
    """Where Sentry's packages for Node.js are."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    return install_node_packages("sentry-node", NPM)


def run(command: list[str | Path], home: Path, environment: dict[str, str], status: int = 0) -> str:
    """Run a client; return what it said."""
    done = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def set_up(monitor: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(
        monitor[name]
        for name in (
            *("schedule", "interval", "timezone", "start_grace", "max_runtime"),
            *("failure_threshold", "recovery_threshold"),
        )
    )


def test_python_sdk(sentry: Sentry, python_home: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [python_home / "bin/python", "-I", SCRIPTS / "sentry_jobs.py"]

    said = run(command, tmp_path, sentry.environment())

    assert _PROBLEM.findall(said) == []
    assert sentry.runs() == {
        "decorated": [("success", "trial", 0)] * 2,
        "decorated-fails": [("error", "trial", 0)],
        "decorated-async": [("success", "trial", 0)],
        "with-block": [("success", "trial", 0)],
        "with-block-fails": [("error", "trial", 0)],
        "by-hand": [("error", "trial", 0)],
        "heartbeat": [("success", "trial", 90), ("error", "trial", None)],
        "going-on": [("processing", "trial", None)],
        "changes": [("success", "trial", None)] * 2,
    }
    monitors = sentry.monitors()
    assert set(monitors) == set(sentry.runs())
    assert set_up(monitors["decorated"]) == ("0 3 * * *", None, "Europe/Paris", 300, 600, 2, 3)
    assert set_up(monitors["with-block"]) == (None, 604_800, "UTC", 60, 1800, 1, 1)
    assert set_up(monitors["changes"]) == (None, 172_800, "Europe/Paris", 300, 3600, 2, 3)


def test_program_whose_errors_stay_with_sentry(
    new_sentry: Callable[[], Sentry], python_home: Path, tmp_path: Path
) -> None:
    errors, runs = new_sentry(), new_sentry()
    section = DOORS.read_text().partition("### Moving from Sentry Crons")[2]
    code = section.partition("```python\n")[2].partition("```")[0]
    code = code.replace("the-dsn-of-sentry", errors.dsn)
    (tmp_path / "job.py").write_text(code.replace("the-dsn-that-you-were-shown", runs.dsn))

    said = run([python_home / "bin/python", "-I", "job.py"], tmp_path, errors.environment())

    assert said == "the job\n"
    assert runs.runs() == {"hourly-import": [("success", "production", 0)]}
    assert runs.monitors()["hourly-import"]["schedule"] == "0 * * * *"
    assert errors.runs() == {}


def test_celery_beat(
    backend: str, sentry: Sentry, python_home: Path, tmp_path: Path, redis_url: str, key_prefix: str
) -> None:
    leave_to_faults(backend)
    command = [python_home / "bin/python", "-I", SCRIPTS / "sentry_jobs.py", "worker", "--beat"]
    options = ["--concurrency", "1", "--without-gossip", "--without-mingle", "-l", "INFO"]
    variables = {"LIVE_REDIS": redis_url, "LIVE_PREFIX": f"{key_prefix}{sentry.live.slug}:"}

    with running([*command, *options], tmp_path, sentry.environment(**variables)):
        wait_until(
            lambda: (
                [task["status"] for task in sentry.live.tasks()].count("processing") == 0
                and len(sentry.live.tasks()) >= 2
            ),
            "runs that beat started",
        )

    assert {name: [each[:2] for each in runs] for name, runs in sentry.runs().items()} == {
        "beat-succeeds": [("success", "trial")],
        "beat-fails": [("error", "trial")],
    }
    assert set_up(sentry.monitors()["beat-fails"]) == (None, 3600, "UTC", 60, 1800, 1, 1)


def test_node_sdk(sentry: Sentry, node_home: Path, tmp_path: Path) -> None:
    environment = sentry.environment(SENTRY_HOME=str(node_home))

    said = run(["node", SCRIPTS / "sentry_jobs.cjs"], tmp_path, environment)

    assert "Encountered error" not in said
    assert sentry.runs() == {
        "node-works": [("success", None, 0)],
        "node-async": [("success", None, 0)],
        "node_fails": [("error", None, 0)],
        "node-by-hand": [("error", None, 0)],
        "node-heartbeat": [("success", None, 30)],
    }
    monitors = sentry.monitors()
    assert set_up(monitors["node-works"]) == ("0 * * * *", None, "Europe/Paris", 120, 180, 2, 3)
    assert set_up(monitors["node-async"]) == (None, 2_678_400, "UTC", 60, 1800, 1, 1)


def test_command_line(sentry: Sentry, node_home: Path, tmp_path: Path) -> None:
    cli = node_home / "node_modules/.bin/sentry-cli"
    if not os.access(cli, os.X_OK):
        pytest.skip("npm did not install the binary of sentry-cli")
    start: list[str | Path] = [cli, "monitors", "run"]
    schedule: list[str | Path] = [
        *("--schedule", "0 0 * * *", "--check-in-margin", "3", "--max-runtime", "4"),
        *("--timezone", "Europe/Paris", "--failure-issue-threshold", "2"),
        *("--recovery-threshold", "3", "--environment", "staging"),
    ]
    environment = sentry.environment()

    said = [
        run([*start, *schedule, "cli-works", "--", "echo", "done"], tmp_path, environment),
        run([*start, "cli-works", "--", "sh", "-c", "exit 3"], tmp_path, environment, 3),
        run([*start, "cli-unknown", "--", "true"], tmp_path, environment),
    ]

    assert "done" in said[0]
    assert "rror" not in "".join(said)
    assert sentry.runs() == {
        "cli-works": [("success", "staging", 0), ("error", "production", 0)],
    }
    monitor = sentry.monitors()["cli-works"]
    assert set_up(monitor) == ("0 0 * * *", None, "Europe/Paris", 180, 240, 2, 3)


CURL = [
    # What is after the address, and what it answers.
    (["{new}", "--json", '{{"monitor_config": {{"schedule": {{"type": "crontab", "value": '
      '"0 * * * *"}}}}, "status": "in_progress"}}'], 202),
    (["{new}?status=ok"], 202),
    (["{new}?status=in_progress&environment=dev"], 202),
    (["{new}?status=error&environment=dev"], 202),
    (["{new}?check_in_id=a460c25ff2554577b920fcfacae4e5eb&status=in_progress"], 202),
    (["{new}?check_in_id=a460c25ff2554577b920fcfacae4e5eb&status=ok"], 202),
    (["-X", "POST", "{new}?status=ok&duration=5.2"], 202),
    (["{other}?status=ok"], 202),
    (["{new}"], 400),
    (["{wrong}?status=ok"], 403),
]  # fmt: skip
"""The lines of docs.sentry.io/product/crons/getting-started/http, and some wrong ones."""


def test_curl(sentry: Sentry, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    places = {
        "new": sentry.cron % "nightly",
        "other": sentry.cron % "other",
        "wrong": re.sub(r"/\w{60}/", f"/{'0' * 60}/", sentry.cron % "nightly"),
    }

    answers = []
    for arguments, _ in CURL:
        line = ["curl", "-sS", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}"]
        filled: list[str | Path] = [each.format(**places) for each in arguments]
        answers.append(int(run([*line, *filled], tmp_path, clean_environment())))

    assert answers == [status for _, status in CURL]
    assert sentry.runs() == {
        "nightly": [
            ("success", None, 0),
            ("error", "dev", 0),
            ("success", None, 0),
            ("success", None, 5),
        ],
    }


def test_malformed_chunks_are_refused(sentry: Sentry) -> None:
    _, _, rest = sentry.dsn.partition("://")
    key, _, place = rest.partition("@")
    address, _, project = place.partition("/")
    host, _, port = address.partition(":")
    head = (
        f"POST /api/{project}/envelope/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n"
        f"X-Sentry-Auth: Sentry sentry_key={key}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for body in (b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}xx0\r\n\r\n"):
        with socket.create_connection((host, int(port)), 20) as connection:
            connection.sendall(head.encode() + body)
            assert connection.makefile("rb").readline()[:13] == b"HTTP/1.1 400 "
