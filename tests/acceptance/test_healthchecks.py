"""The clients of Healthchecks and the curl lines of its documentation, against the live server."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from acceptance.live import LiveProject, LiveServer
from acceptance.sdks import HEALTHCHECKS, Sdk, clean_environment, run_script
from acceptance.test_snippets import needs_curl

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.domain.keys import parse_token
from taskbadger.extensions import db, writing
from taskbadger.services.organizations import keys, organizations, projects


@dataclass(frozen=True)
class Keys:
    """A key for each thing that Healthchecks has one for."""

    admin: str
    read: str
    ping: str

    def variables(self, live: LiveProject) -> dict[str, str]:
        """Return what the script reads."""
        return {
            "LIVE_HOST": live.host,
            "LIVE_ADMIN": self.admin,
            "LIVE_READ": self.read,
            "LIVE_PING": self.ping,
        }


@pytest.fixture
def own_keys(live_server: LiveServer, live: LiveProject) -> Keys:
    """Keys of the live project, as somebody would paste them: the secrets alone."""
    with live_server.app.app_context(), writing():
        now = utcnow()
        parent = organizations.ensure_organization(live.organization, actor=SERVER, now=now)
        project = projects.ensure_project(parent, live.slug, actor=SERVER, now=now)
        made = {}
        for scope in ("admin", "read", "ping"):
            _, shown = keys.create_key(
                parent, project, name=scope, scopes=scope, actor=SERVER, now=now
            )
            token = parse_token(shown)
            assert token is not None
            made[scope] = token.secret
        db.session.commit()
        db.session.remove()
    return Keys(**made)


def seen(name: str, *, started: str) -> dict[str, Any]:
    """Return what each call of a client gives; *started* is the status while a job runs."""
    return {
        "create": [f"{name} job", f"{name}-job", f"{name} x", "d", 600, 120, "new", "", ""],
        "create cron": ["new", None],
        "create again": [True, 60, 86400],
        "create wrong": "BadAPIRequestError",
        "update": ["new", 3600, 60, f"{name} job"],
        "update unknown": "CheckNotFoundError",
        "list": [f"{name} job"],
        "list both tags": 1,
        "list no tag": 0,
        "get unknown": "CheckNotFoundError",
        "read only": [None] * 4,
        "read only by key": f"{name} job",
        "read only creates": "HCAPIAuthError",
        "read only pings": "HCAPIAuthError",
        "wrong key": "HCAPIAuthError",
        "start": [True, "OK", started, 1],
        "success": [True, "OK", "up", 2],
        "slug": [True, "OK", "up", 3],
        "exit code": [True, "OK"],
        "unknown slug": "CheckNotFoundError",
        "unknown id": "CheckNotFoundError",
        "wrong exit code": "BadAPIRequestError",
        "trap": ["up", 6],
        "fail": [True, "OK", "down", 7],
        "pings": [
            [7, "fail", False],
            [6, "success", True],
            [5, "start", False],
            [4, "success", False],
            [3, "success", False],
            [2, "success", True],
            [1, "start", False],
        ],
        "flips": [0],
        "flips of a minute": 1,
        "flips before": 0,
        "flips wrong": "BadAPIRequestError",
        "read only flips": 1,
        "integrations": [],
        "badges": [True, True, True],
        "pause": ["paused", True],
        "delete": [f"{name} job", "CheckNotFoundError"],
    }


def test_clients_of_healthchecks_work_unmodified(
    live: LiveProject, own_keys: Keys, sdk: Callable[[str], Sdk], tmp_path: Path
) -> None:
    report = run_script(
        sdk(HEALTHCHECKS),
        "healthchecks_clients.py",
        cwd=tmp_path,
        **own_keys.variables(live),
    )

    for name, started in (("sync1", "started"), ("sync3", "new"), ("async2", "new")):
        assert report[name] == seen(name, started=started)
    assert report["decorator"] == {
        "pings": [["success", "GET"], ["fail", "GET"], ["success", "POST"], ["start", "GET"]],
        "statuses": ["up", "down"],
    }


class Shell:
    """Runs the lines of the documentation, with our address and our keys in them."""

    def __init__(self, live: LiveProject, own_keys: Keys) -> None:
        self.live, self.keys = live, own_keys
        self.names = {"your-api-key": own_keys.admin, "SITE_ROOT": live.host}
        self.names["PING_ENDPOINT"] = f"{live.host}/ping/"

    def run(self, line: str) -> tuple[str, Any]:
        """Return the status and the body, read if it is JSON."""
        for name, value in self.names.items():
            line = line.replace(name, value)
        done = subprocess.run(
            [
                "/bin/sh",
                "-c",
                line.replace("curl ", "curl -sS --noproxy '*' -w '\\n%{http_code}' "),
            ],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        body, _, status = done.stdout.rpartition("\n")
        return status, json.loads(body) if body[:1] in "{[" and body else body


CREATE = """curl SITE_ROOT/api/v3/checks/ \\
    --header "X-Api-Key: your-api-key" \\
    --data '{"name": "Backups", "tags": "prod www", "timeout": 3600, "grace": 60}'"""
CREATE_BY_BODY = """curl SITE_ROOT/api/v3/checks/ \\
    --data '{"api_key": "your-api-key", "name": "Others", "tags": "prod", "timeout": 3600, \
"grace": 60}'"""
MANAGE = (
    'curl --header "X-Api-Key: your-api-key" SITE_ROOT/api/v3/checks/',
    'curl --header "X-Api-Key: your-api-key" SITE_ROOT/api/v3/checks/<uuid>',
    """curl SITE_ROOT/api/v3/checks/<uuid> \\
    --header "X-Api-Key: your-api-key" \\
    --data '{"name": "Backups", "tags": "prod www", "timeout": 3600, "grace": 60}'""",
    """curl SITE_ROOT/api/v3/checks/<uuid> \\
    --data '{"api_key": "your-api-key", "name": "Backups", "tags": "prod www", "timeout": 3600}'""",
    """curl SITE_ROOT/api/v3/checks/<uuid>/pause \\
    --request POST --header "X-Api-Key: your-api-key" --data \"\"""",
    """curl SITE_ROOT/api/v3/checks/<uuid>/resume \\
    --request POST --header "X-Api-Key: your-api-key" --data \"\"""",
    """curl SITE_ROOT/api/v3/checks/<uuid>/pings/ \\
    --header "X-Api-Key: your-api-key\"""",
    """curl SITE_ROOT/api/v3/checks/<uuid>/pings/3/body \\
    --header "X-Api-Key: your-api-key\"""",
    """curl SITE_ROOT/api/v3/checks/<uuid>/flips/ \\
    --header "X-Api-Key: your-api-key\"""",
    'curl --header "X-Api-Key: your-api-key" SITE_ROOT/api/v3/channels/',
    'curl --header "X-Api-Key: your-api-key" SITE_ROOT/api/v3/badges/',
    "curl SITE_ROOT/api/v3/status/",
    """curl SITE_ROOT/api/v3/checks/<uuid> \\
    --request DELETE --header "X-Api-Key: your-api-key\"""",
)
PINGS = (
    ("curl -m 10 --retry 5 PING_ENDPOINT<uuid>", "OK"),
    ("curl -fsS -m 10 --retry 5 -o /dev/null PING_ENDPOINT<uuid>/start", ""),
    ("m=$(echo hello; exit 3); curl -fsS -m 10 --data-raw \"$m\" PING_ENDPOINT<uuid>/$?", "OK"),
    ("curl -m 10 --retry 5 PING_ENDPOINT<uuid>?rid=123e4567-e89b-12d3-a456-426614174000", "OK"),
    ("curl -m 10 --retry 5 PING_ENDPOINT<key>/backups", "OK"),
    ("curl -m 10 --retry 5 PING_ENDPOINT<key>/backups/start", "OK"),
    ("curl -m 10 --retry 5 PING_ENDPOINT<key>/new-one?create=1", "Created"),
    ("curl -m 10 --retry 5 -X POST --data-raw 'a line' PING_ENDPOINT<uuid>/log", "OK"),
)  # fmt: skip


@needs_curl
def test_curl_lines_of_the_documentation_work(live: LiveProject, own_keys: Keys) -> None:
    shell = Shell(live, own_keys)
    made = [shell.run(line) for line in (CREATE, CREATE_BY_BODY)]
    shell.names |= {"<uuid>": made[0][1]["uuid"], "<key>": own_keys.ping}

    pinged = [shell.run(line)[1] for line, _ in PINGS]
    answers = [shell.run(line) for line in MANAGE]

    assert [status for status, _ in made] == ["201", "201"]
    assert pinged == [words for _, words in PINGS]
    statuses, bodies = zip(*answers, strict=True)
    assert statuses == ("200",) * len(MANAGE)
    assert [check["slug"] for check in bodies[0]["checks"]] == ["backups", "others", "new-one"]
    assert [check["status"] for check in bodies[1:6]] == ["down", "down", "down", "paused", "down"]
    assert [ping["n"] for ping in bodies[6]["pings"]] == [7, 6, 5, 4, 3, 2, 1]
    assert bodies[7:10] == ("hello", [{**bodies[8][0], "up": 0}], {"channels": []})
    assert (list(bodies[10]["badges"]), bodies[11]) == (["prod", "www", "*"], "OK")
    assert bodies[12]["uuid"] == made[0][1]["uuid"]
