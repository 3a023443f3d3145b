"""Every snippet that the pages print, pasted as it stands, against the live server."""

import html
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import kubernetes_validate
import pytest
import yaml
from acceptance.background import running
from acceptance.live import LiveProject, LiveServer
from acceptance.sdks import LATEST, REQUIREMENTS, Sdk, clean_environment
from packaging.requirements import Requirement
from people import make_member, session_cookie
from processes import wait_until
from sqlalchemy import make_url

from taskbadger.blueprints.dashboard.visit import COOKIE
from taskbadger.extensions import db, writing

# What is printed does not depend on the database.
pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True, scope="session")
NAME = 'it\'s 100% "done"'
KUBERNETES = "1.33"
_BLOCK = re.compile(r'<figure class="code">\s*<figcaption>(.*?)<button.*?<code>(.*?)</code>', re.S)
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None and not os.environ.get("CI"), reason="there is no curl"
)


class Visitor:
    """The owner of the project's organization, who reads what pages print."""

    def __init__(self, server: LiveServer, live: LiveProject) -> None:
        self.project = live.slug
        with server.app.app_context(), writing():
            owner = make_member(f"owner@{live.organization}.example", "owner", live.organization)
            cookie = session_cookie(owner)
            db.session.remove()
        self.client = httpx2.Client(
            base_url=f"{live.host}/a/{live.organization}/",
            cookies={COOKIE: cookie},
            follow_redirects=True,
            timeout=30,
            trust_env=False,
        )

    def post(self, path: str, **fields: Any) -> httpx2.Response:
        """Send the form of a page."""
        form = self.client.get(path)
        token = _TOKEN.findall(form.text)[0]
        data = {"csrf_token": token, "project": self.project, **fields}
        answer = self.client.post(form.url, data=data)
        assert answer.status_code == 200, answer.text
        return answer

    def make_monitor(self, **fields: Any) -> httpx2.Response:
        """Make a monitor of NAME; return its page."""
        data = {"name": NAME, "type": "cron", "schedule": "30 2 * * MON-FRI", "timezone": "UTC"}
        data |= {"failure_threshold": "1", "recovery_threshold": "1", **fields}
        return self.post("monitors/new/", **data)


def printed(page: httpx2.Response) -> dict[str, str]:
    """Return the text of each block of code on a page, by its title."""
    blocks = [map(html.unescape, match.groups()) for match in _BLOCK.finditer(page.text)]
    return dict(blocks)


@pytest.fixture
def visitor(live_server: LiveServer, live: LiveProject) -> Iterator[Visitor]:
    found = Visitor(live_server, live)
    with found.client:
        yield found


@pytest.fixture
def first(visitor: Visitor) -> dict[str, str]:
    """What the page for beginners prints once it has made a key."""
    return printed(visitor.post("how-to/"))


@pytest.fixture
def environment(sdk: Callable[[str], Sdk], tmp_path: Path) -> dict[str, str]:
    """A shell in which the SDK's environment is active."""
    path = f"{sdk(LATEST).python.parent}:{os.environ['PATH']}"
    return clean_environment(PATH=path, HOME=str(tmp_path), NO_COLOR="1")


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    """Paste a text into a shell, or another program, and return how it ended."""

    def do(text: str, *program: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*(program or ("/bin/sh", "-c")), text],
            cwd=tmp_path,
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return do


def succeed(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.returncode, done.stderr) == (0, "")


def held(live: LiveProject) -> list[tuple[str, str]]:
    return [(task["name"], task["status"]) for task in live.tasks()]


def test_page_of_a_new_key_prints_the_same(visitor: Visitor, first: dict[str, str]) -> None:
    another = printed(visitor.post("settings/keys/", name="ci", scope_ingest="true", days="0"))

    key, new_key = first.pop("Key"), another.pop("Key")
    assert another == {title: text.replace(key, new_key) for title, text in first.items()}
    assert list(first) == [
        "Python",
        "Python: track a function",
        "Celery: report all tasks of an application",
        "Celery: start a worker and run a task",
        "Procrastinate: report all tasks of an application",
        "Procrastinate: run a task and start a worker",
        "Command line: run any command",
        "cron: run any command each night",
        "curl",
    ]


def test_what_is_installed_is_what_the_tests_install(first: dict[str, str]) -> None:
    tested = {Requirement(text).name: Requirement(text) for text in REQUIREMENTS[LATEST]}
    lines = re.findall("pip install (.+)", "\n".join(first.values()))

    wanted = [Requirement(text.strip("'")) for line in lines for text in line.split()]

    assert {one.name for one in wanted} == {"taskbadger", "celery", "typer", "psycopg"}
    for one in wanted:
        # Of psycopg, what the tests install is a range.
        pin = next(pin for pin in tested[one.name].specifier if pin.operator in ("==", ">="))
        assert one.specifier.contains(pin.version)
        assert one.extras <= tested[one.name].extras


def test_python_snippet_works(first: dict[str, str], run: Run, live: LiveProject) -> None:
    succeed(run(first["Python"], "python", "-Ic"))

    [task] = live.tasks()
    assert (task["name"], task["value_percent"]) == ("import customers", 100)
    assert live.statuses(task["id"]) == ["pending", "processing", "success"]


def test_track_snippet_works(first: dict[str, str], run: Run, live: LiveProject) -> None:
    succeed(run(first["Python: track a function"], "python", "-Ic"))

    [task] = live.tasks()
    assert task["name"] == "import customers"
    assert live.statuses(task["id"]) == ["processing", "success"]


def test_cron_snippet_works(first: dict[str, str], run: Run, live: LiveProject) -> None:
    variables, times, command = read_crontab(first["cron: run any command each night"])

    succeed(run(command, **variables))

    assert times == ["30", "2", "*", "*", "*"]
    assert held(live) == [("disk space", "success")]


def test_command_line_snippet_works(first: dict[str, str], run: Run, live: LiveProject) -> None:
    succeed(run(first["Command line: run any command"]))

    assert held(live) == [("disk space", "success")]


@needs_curl
def test_curl_snippet_works(first: dict[str, str], run: Run, live: LiveProject) -> None:
    succeed(run(first["curl"]))

    [task] = live.tasks()
    assert (task["name"], task["value_percent"]) == ("import customers", 100)
    assert live.statuses(task["id"]) == ["processing", "success"]


def test_celery_snippets_work(
    first: dict[str, str],
    live: LiveProject,
    environment: dict[str, str],
    tmp_path: Path,
    redis_url: str,
    key_prefix: str,
) -> None:
    (tmp_path / "jobs.py").write_text(first["Celery: report all tasks of an application"])
    # Celery's own ways to say so from outside, so that the text stays as it is.
    apart = {"global_keyprefix": f"{key_prefix}{live.slug}:"}
    (tmp_path / "apart.py").write_text(f"broker_transport_options = {apart}\n")
    variables = {"CELERY_BROKER_URL": redis_url, "CELERY_CONFIG_MODULE": "apart"}

    pasted = ["/bin/sh", "-c", first["Celery: start a worker and run a task"]]

    with running(pasted, tmp_path, environment | variables):
        wait_until(lambda: held(live) == [("jobs.add", "success")], "the end of the task")


def test_procrastinate_snippets_work(
    first: dict[str, str],
    live: LiveProject,
    environment: dict[str, str],
    tmp_path: Path,
    new_postgresql: Callable[[], str],
) -> None:
    (tmp_path / "jobs.py").write_text(first["Procrastinate: report all tasks of an application"])
    database = make_url(new_postgresql())
    variables = {
        "PGHOST": database.host or "",
        "PGPORT": str(database.port or 5432),
        "PGUSER": database.username or "",
        "PGPASSWORD": database.password or "",
        "PGDATABASE": database.database or "",
    }

    pasted = ["/bin/sh", "-c", first["Procrastinate: run a task and start a worker"]]

    with running(pasted, tmp_path, environment | variables):
        wait_until(lambda: held(live) == [("jobs.add", "success")], "the end of the task")


def read_crontab(text: str) -> tuple[dict[str, str], list[str], str]:
    """Return variables, times and command of a crontab, as cron reads it."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    variables = dict(line.split("=", 1) for line in lines[:-1])
    *times, command = lines[-1].split(" ", 5)
    # A percent sign ends the command, unless it is escaped.
    assert not re.search(r"(?<!\\)%", command)
    return variables, times, command.replace(r"\%", "%")


def monitor_id(page: httpx2.Response) -> str:
    return str(page.url).rstrip("/").rpartition("/")[2]


def monitored(visitor: Visitor, live: LiveProject, title: str) -> tuple[str, str]:
    """Return the id of a new monitor and one of the texts that its page prints, with a key."""
    page = visitor.make_monitor()
    return monitor_id(page), printed(page)[title].replace("YOUR-KEY", live.key)


@pytest.mark.parametrize(
    ("job", "outcome"), [('"""Your job.', "success"), ('1 / 0; """', "error")], ids=["good", "bad"]
)
def test_python_snippet_of_a_monitor_tells_how_its_job_ended(
    visitor: Visitor, live: LiveProject, run: Run, job: str, outcome: str
) -> None:
    monitor, text = monitored(visitor, live, "Python")

    done = run(text.replace('"""Your job.', job), "python", "-Ic")

    assert done.returncode == (outcome == "error")
    [task] = live.tasks(monitor=monitor)
    assert task["name"] == NAME
    assert live.statuses(task["id"]) == ["processing", outcome]


@needs_curl
@pytest.mark.parametrize(("job", "outcome"), [("sleep 1", "success"), ("false", "error")])
def test_shell_script_of_a_monitor_tells_how_its_job_ended(
    visitor: Visitor, live: LiveProject, run: Run, job: str, outcome: str
) -> None:
    monitor, text = monitored(visitor, live, "A shell script with curl")

    succeed(run(text.replace("\nsleep 1 ", f"\n{job} ")))

    [task] = live.tasks(monitor=monitor)
    assert task["name"] == NAME
    assert live.statuses(task["id"]) == ["processing", outcome]


def test_crontab_of_a_monitor_runs_its_job(visitor: Visitor, live: LiveProject, run: Run) -> None:
    monitor, text = monitored(visitor, live, "cron and the command line")

    variables, times, command = read_crontab(text)
    succeed(run(command, **variables))

    assert (times, variables["CRON_TZ"]) == (["30", "2", "*", "*", "1-5"], "UTC")
    [task] = live.tasks(monitor=monitor)
    assert task["name"] == NAME
    assert live.statuses(task["id"]) == ["processing", "success"]


def pinged(live: LiveProject, monitor: str) -> list[tuple[str, list[str], Any]]:
    """Return name, statuses and data of the runs of a monitor."""
    return [
        (task["name"], live.statuses(task["id"]), task["data"])
        for task in live.tasks(monitor=monitor)
    ]


@needs_curl
@pytest.mark.parametrize(
    ("job", "status", "data"),
    [
        ("echo done", 0, {"exit_status": 0, "output": "done"}),
        ("echo full >&2; exit 3", 3, {"exit_status": 3, "output": "full", "error": "full"}),
    ],
    ids=["good", "bad"],
)
def test_shell_script_pings_with_the_output_of_its_job(
    visitor: Visitor, live: LiveProject, run: Run, job: str, status: int, data: dict[str, Any]
) -> None:
    monitor, text = monitored(visitor, live, "A shell script")

    done = run(text.replace("$(sleep 1 2>&1)", f"$( {{ {job}; }} 2>&1)"))

    assert (done.returncode, done.stdout, done.stderr) == (status, f"{data['output']}\n", "")
    ended = "error" if status else "success"
    assert pinged(live, monitor) == [(NAME, ["processing", ended], data)]


@needs_curl
def test_crontab_pings(visitor: Visitor, live: LiveProject, run: Run) -> None:
    monitor, text = monitored(visitor, live, "cron")

    variables, times, command = read_crontab(text)
    succeed(run(command, **variables))

    assert (times, variables["CRON_TZ"]) == (["30", "2", "*", "*", "1-5"], "UTC")
    assert pinged(live, monitor) == [(NAME, ["processing", "success"], {"exit_status": 0})]


@needs_curl
def test_one_ping_is_enough(visitor: Visitor, live: LiveProject, run: Run) -> None:
    monitor, text = monitored(visitor, live, "One ping when it has succeeded")

    succeed(run(text))

    assert pinged(live, monitor) == [(NAME, ["success"], None)]


@needs_curl
@pytest.mark.parametrize(("status", "ended"), [("0", "success"), ("1", "error"), ("KILL", "error")])
def test_service_pings_however_it_ends(
    visitor: Visitor, live: LiveProject, run: Run, tmp_path: Path, status: str, ended: str
) -> None:
    monitor, text = monitored(visitor, live, "A systemd service")
    lines = text.replace("\\\n", " ").splitlines()
    commands = [line.partition("=-")[2] for line in lines if line.startswith("Exec")]
    analyze = shutil.which("systemd-analyze")

    for command in commands:
        succeed(run(command.replace("$$", "$"), EXIT_STATUS=status))

    assert [task[1] for task in pinged(live, monitor)] == [["processing", ended]]
    if analyze is not None:
        unit = tmp_path / "job.service"
        unit.write_text(f"[Service]\nType=oneshot\nExecStart=/bin/true\n{text}\n")
        said = run(f"{analyze} verify --man=no {unit}").stderr
        assert [line for line in said.splitlines() if "job.service" in line] == []


@needs_curl
def test_cron_job_of_kubernetes_is_valid_and_pings(
    visitor: Visitor, live: LiveProject, run: Run
) -> None:
    monitor, text = monitored(visitor, live, "Kubernetes")
    document = yaml.safe_load(text)

    kubernetes_validate.validate(document, KUBERNETES, strict=True)
    [container] = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    succeed(run(container["command"][2]))

    assert document["spec"]["schedule"] == "30 2 * * 1-5"
    assert pinged(live, monitor) == [(NAME, ["processing", "success"], {"exit_status": 0})]


@needs_curl
def test_key_for_pings_prints_what_makes_a_monitor(
    visitor: Visitor, live: LiveProject, run: Run
) -> None:
    texts = printed(visitor.post("settings/keys/", name="cron", scope_ping="true", days="0"))

    succeed(run(texts["Ping"]))

    assert held(live) == [("nightly-import", "success")]
    dsn = texts["DSN for clients of Sentry"]
    assert re.fullmatch(r"http://[0-9a-f]{60}@127\.0\.0\.1:\d+/\d+", dsn)
