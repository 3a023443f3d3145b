"""``serve`` as a real process: what it starts, and what becomes of that under signals and kills."""

import http.client
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from conftest import make_key_of
from faults.attack import exchange
from processes import (
    TIME_LIMIT,
    Server,
    environment,
    gunicorn,
    lives,
    run_server,
    serve,
    wait_until,
)
from skipped import leave_to_faults
from sqlalchemy import make_url

from taskbadger import serving
from taskbadger.errors import SettingsError

NewDatabase = Callable[[], str]


@pytest.fixture
def database(new_database: NewDatabase) -> str:
    """The URL of an empty database, without any table."""
    return new_database()


def welcome(server: Server, database: str) -> list[str]:
    """Return what ``serve`` prints at each start."""
    return [
        f"Task Badger is running at {server.address}/",
        f"  API docs  {server.address}/api/docs/",
        f"  data      {serving.place_of(make_url(database))}",
    ]


on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True, scope="session")
"""For what processes do, whatever the database."""


def is_ready(server: Server) -> bool:
    status, body = server.get("/readyz")
    return status == 200 and json.loads(body)["status"] == "ready"


def test_serve_migrates_an_empty_database_and_answers(tmp_path: Path, database: str) -> None:
    with serve(tmp_path, TASKBADGER_DATABASE_URL=database) as server:
        assert is_ready(server)
        said = (tmp_path / "output").read_text().splitlines()
        key = make_key_of(database)

        assert said == [
            *welcome(server, database),
            "There are no users yet. Open the dashboard to become the owner.",
        ]
        assert server.get("/healthz") == (200, b'{"status":"ok"}\n')
        status, page = server.get("/api/acme/web/tasks/", key=key)
        assert (status, json.loads(page)) == (200, {"next": None, "previous": None, "results": []})


FOREIGN = """
from pathlib import Path

Path(__file__).with_suffix(".loaded").touch()
raise SystemExit("another program")
"""


def test_serve_works_in_a_folder_of_another_program(tmp_path: Path) -> None:
    for name in ("wsgi", "gunicorn.conf", "flask", "taskbadger", "taskbadger_server", "celery"):
        (tmp_path / f"{name}.py").write_text(FOREIGN)

    with serve(tmp_path) as server:
        assert is_ready(server)
        wait_until(lambda: _workers(server), "the worker")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(_workers(server)) == 2, "another worker")
        assert is_ready(server)

    assert list(tmp_path.glob("*.loaded")) == []


def test_garbage_collections_leave_out_what_was_imported(tmp_path: Path) -> None:
    """Collections while it is imported made each start a third slower."""
    code = (
        "import gc; from taskbadger_server import load_wsgi; load_wsgi();"
        " print(gc.isenabled(), gc.get_freeze_count() > 100_000)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "True True\n"


def test_gunicorn_of_serve_takes_options_from_its_variable(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("proc_name = 'ours'\nkeepalive = 1\nthreads = 9\n")

    with serve(
        tmp_path, "--threads", "3", GUNICORN_CMD_ARGS="--config own.py --print-config"
    ) as server:
        wait_until(lambda: server.said("ended"), "gunicorn to print its configuration")

    shown = dict(
        line.split(" = ", 1) for line in server.output.read_text().splitlines() if " = " in line
    )
    chosen = {name.strip(): value for name, value in shown.items()}
    assert (chosen["proc_name"], chosen["keepalive"], chosen["threads"]) == ("ours", "10", "3")


@on_sqlite
def test_term_stops_everything_and_exits_with_0(tmp_path: Path, database: str) -> None:
    with serve(tmp_path, TASKBADGER_DATABASE_URL=database) as server:
        assert is_ready(server)
        family = server.family()

        status = server.stop()

        assert status == 0
        assert [member for member in family if member.is_running()] == []


def test_the_background_worker_runs_beside_gunicorn(tmp_path: Path) -> None:
    with serve(tmp_path / "with") as both, serve(tmp_path / "without", "--no-worker") as alone:
        assert is_ready(both)
        assert is_ready(alone)

        assert [line["child"] for line in both.said("started")] == ["gunicorn", "worker"]
        assert [line["child"] for line in alone.said("started")] == ["gunicorn"]


@pytest.mark.parametrize("setting", ["", "https://tasks.example.com"])
def test_worker_of_serve_knows_what_links_start_with(tmp_path: Path, setting: str) -> None:
    with serve(tmp_path, TASKBADGER_BASE_URL=setting) as server:
        assert is_ready(server)
        (pid,) = [line["pid"] for line in server.said("started") if line["child"] == "worker"]

        known = psutil.Process(pid).environ()["TASKBADGER_BASE_URL"]

        assert known == (setting or server.address)


def test_all_that_is_logged_is_one_json_object_per_line(tmp_path: Path) -> None:
    with serve(tmp_path, TASKBADGER_TYPO="1") as server:
        server.get("/api/acme/web/tasks/?token=hidden-in-query", key="hidden-in-header")
        server.stop()

    requests = [line for line in server.lines if line["event"] == "request"]
    assert [(line["method"], line["path"], line["status"]) for line in requests] == [
        ("GET", "/api/acme/web/tasks/", 401)
    ]
    assert {line["variable"] for line in server.said("unknown setting")} == {"TASKBADGER_TYPO"}
    assert "hidden" not in server.log.read_text()


@contextmanager
def clients(server: Server, key: str, count: int) -> Iterator[tuple[list[str], list[int]]]:
    """Let *count* clients create tasks one after another; yield the failures and the statuses."""
    failures: list[str] = []
    statuses: list[int] = []
    over = threading.Event()
    parts = urlsplit(server.address)

    def create() -> None:
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=TIME_LIMIT
        )
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        while not over.is_set():
            try:
                connection.request("POST", "/api/acme/web/tasks/", '{"name": "job"}', headers)
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
                connection.close()
                continue
            statuses.append(response.status)
        connection.close()

    threads = [threading.Thread(target=create) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield failures, statuses
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.timeout(900)
def test_reloads_under_load_fail_no_request(backend: str, tmp_path: Path, database: str) -> None:
    leave_to_faults(backend)
    with serve(tmp_path, "--workers", "2", TASKBADGER_DATABASE_URL=database) as server:
        assert is_ready(server)
        key = make_key_of(database)
        with clients(server, key, 8) as (failures, statuses):
            for reload in (1, 2, 3):
                server.process.send_signal(signal.SIGHUP)
                workers = 2 * (reload + 1)
                wait_until(
                    lambda n=workers: len(server.said("Booting worker")) >= n,  # type: ignore[misc]
                    f"reload {reload}",
                )
                served = len(statuses)
                wait_until(lambda n=served: len(statuses) > n + 20, "requests")  # type: ignore[misc]

        assert failures == []
        assert set(statuses) == {201}
        assert server.stop() == 0


def test_reload_restarts_the_background_worker(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        assert is_ready(server)
        wait_until(lambda: _workers(server), "the worker")
        before = server.gunicorn.pid

        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(_workers(server)) == 2, "another worker")

        assert server.gunicorn.pid == before
        assert is_ready(server)


def _workers(server: Server) -> list[int]:
    return [line["pid"] for line in server.said("started") if line["child"] == "worker"]


def test_killed_supervisor_leaves_no_orphan(tmp_path: Path) -> None:
    with serve(tmp_path, "--workers", "2") as server:
        assert is_ready(server)
        family = wait_until(lambda: len(found := server.family()) >= 4 and found, "the family")

        server.process.kill()
        server.process.wait()

        wait_until(lambda: not any(lives(member) for member in family), "the orphans to end")


@on_sqlite
def test_killed_gunicorn_is_replaced_and_connections_wait(tmp_path: Path, database: str) -> None:
    with serve(tmp_path, TASKBADGER_DATABASE_URL=database) as server:
        assert is_ready(server)
        killed = server.gunicorn
        for process in [killed, *killed.children(recursive=True)]:
            process.kill()

        # Nobody answers at this moment, but the supervisor's socket takes the connection.
        assert is_ready(server)
        assert server.gunicorn.pid != killed.pid
        assert [line["code"] for line in server.said("ended")] == [-signal.SIGKILL]


def test_killed_background_worker_is_replaced(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        assert is_ready(server)
        (pid,) = wait_until(lambda: _workers(server), "the worker")

        os.kill(pid, signal.SIGKILL)

        wait_until(lambda: len(_workers(server)) == 2, "another worker")


def test_several_servers_start_at_once_on_an_empty_database(tmp_path: Path, database: str) -> None:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                serve(tmp_path / str(number), "--demo", TASKBADGER_DATABASE_URL=database)
            )
            for number in range(3)
        ]

        assert [is_ready(server) for server in servers] == [True, True, True]
        shown = [server.output.read_text() for server in servers]
        assert sum("shown only this once" in text for text in shown) == 1
        assert [server.stop() for server in servers] == [0, 0, 0]


def test_the_first_run_shows_a_key_that_works_and_later_ones_none(tmp_path: Path) -> None:
    with serve(tmp_path, "--demo") as server:
        assert is_ready(server)
        first = server.output.read_text()
        key = next(line.split()[-1] for line in first.splitlines() if "API key" in line)
        assert server.get("/api/demo/demo/tasks/", key=key)[0] == 200
    with serve(tmp_path, "--demo") as server:
        assert is_ready(server)

        said = server.output.read_text().splitlines()
        assert said == welcome(server, f"sqlite:///{tmp_path}/instance/taskbadger.db")


def read_until(terminal: int, text: str) -> str:
    """Return what a terminal shows, to the end of the line with the pattern *text*."""
    shown = ""
    while not re.search(rf"{text}[^\n]*\n", shown):
        assert select.select([terminal], [], [], TIME_LIMIT)[0], shown
        shown += os.read(terminal, 4096).decode()
    return shown


def test_on_a_terminal_serve_writes_short_lines(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-P", "-m", "taskbadger_server", "serve", "--bind", "127.0.0.1:0"]
    server = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    with server:
        shown = read_until(ours, "worker started pid=")
        address = re.search(r"http://[0-9.:]+", shown)
        assert address is not None
        assert urllib.request.urlopen(f"{address[0]}/readyz").status == 200
        assert urllib.request.urlopen(f"{address[0]}/api/docs/").status == 200
        shown += read_until(ours, "docs/ 200 ")
        server.terminate()
        shown += read_until(ours, ":.. stopped")
    os.close(ours)

    lines = re.sub(r"pid=\d+|[0-9.]+ ms", "…", shown).splitlines()
    assert [line.partition(" ")[2] for line in lines[4:]] == [
        "worker started …",
        "GET /api/docs/ 200 …",
        "stopping",
        "worker stopped …",
        "stopped",
    ]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d .+", line) for line in lines[4:])


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:////srv/data/tasks.db", "/srv/data/tasks.db"),
        ("postgresql://me:secret@db.example:5433/tasks", "PostgreSQL: tasks at db.example:5433"),
        ("postgresql://me:secret@db.example", "PostgreSQL: the default database at db.example"),
        ("postgresql:///tasks?host=/run/x&password=secret", "PostgreSQL: tasks at its socket"),
    ],
)
def test_the_place_of_the_data_is_shown_without_the_password(url: str, place: str) -> None:
    assert serving.place_of(make_url(url)) == place


def test_serve_waits_for_a_database_that_is_still_starting(
    tmp_path: Path, new_postgresql: NewDatabase, postgresql_server: str
) -> None:
    database = new_postgresql()
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with psycopg.connect(postgresql_server, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        with serve(tmp_path, "--no-worker", TASKBADGER_DATABASE_URL=database) as server:
            wait_until(lambda: server.said("cannot migrate yet"), "the first attempt")
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

            assert is_ready(server)


def test_wrong_settings_end_serve_with_one_line(tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with taken:
        busy = run_server("serve", "--bind", f"127.0.0.1:{port}", home=tmp_path)
    secret = run_server("serve", home=tmp_path, TASKBADGER_SECRET_KEY="changeme")
    debug = run_server("serve", "--bind", "0.0.0.0:0", home=tmp_path, FLASK_DEBUG="1")

    assert (busy.returncode, busy.stderr) == (
        1,
        f"Error: cannot listen on 127.0.0.1:{port}: Address already in use\n",
    )
    assert (secret.returncode, secret.stderr) == (
        1,
        "Error: TASKBADGER_SECRET_KEY must have at least 32 characters\n",
    )
    assert (debug.returncode, debug.stderr) == (
        1,
        "Error: debug mode is only allowed on a loopback address, not on 0.0.0.0:0\n",
    )


def test_a_folder_that_cannot_be_made_for_the_database_ends_serve_with_one_line(
    tmp_path: Path,
) -> None:
    (tmp_path / "instance").touch()

    done = run_server("serve", "--bind", "127.0.0.1:0", home=tmp_path)

    reason = f"cannot create the folder {tmp_path}/instance: File exists"
    assert (done.returncode, done.stderr) == (1, f"Error: TASKBADGER_DATABASE_URL: {reason}\n")


def test_gunicorn_alone_serves_the_application(tmp_path: Path) -> None:
    run_server("db", "upgrade", home=tmp_path)

    with gunicorn(tmp_path) as server:
        assert is_ready(server)


CHUNKS = {
    "size": b"zz\r\n",
    "no size": b"\r\n",
    "sign": b"-5\r\nhello\r\n",
    "terminator": b"5\r\nhelloXX0\r\n\r\n",
    "bare newline": b"5\nhello\n0\n\n",
    "extension": b"5;\x00\r\n",
    "trailer": b"2\r\n{}\r\n0\r\nbad trailer\r\n\r\n",
    "too many trailers": b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 20_000,
    "cut off": b"5\r\nhel",
    "too large": b"f" * 18 + b"\r\n",
}
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=x"


def test_gunicorn_alone_refuses_malformed_chunks(tmp_path: Path) -> None:
    run_server("db", "upgrade", home=tmp_path)
    key = make_key_of(f"sqlite:///{tmp_path}/instance/taskbadger.db")
    api = ("/api/acme/web/tasks/", "application/json", f"Authorization: Bearer {key}\r\n")
    places = {"API": api, "form": ("/sign-in", FORM, ""), "parts": ("/sign-in", PARTS, "")}
    wrong = {}
    with gunicorn(tmp_path, "--worker-class", "gthread") as server:
        for place, (path, mimetype, more) in places.items():
            head = (
                f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {mimetype}\r\n{more}"
                "Transfer-Encoding: chunked\r\n\r\n"
            )
            for name, chunk in CHUNKS.items():
                answer = exchange(server.address, head.encode() + chunk + b"\r\n\r\n")
                status = b"431" if name == "too many trailers" else b"400"
                if not answer.startswith(b"HTTP/1.1 " + status):
                    wrong[place, name] = answer
        assert is_ready(server)

    assert wrong == {}
    assert "Traceback" not in server.log.read_text()


def test_gunicorn_alone_refuses_bad_settings_in_one_line(tmp_path: Path) -> None:
    with gunicorn(tmp_path, TASKBADGER_SECRET_KEY="") as server:
        status = server.process.wait(TIME_LIMIT)

    log = server.log.read_text()
    assert status == 4
    assert "Error: TASKBADGER_SECRET_KEY must have at least 32 characters\n" in log
    assert "Traceback" not in log


def test_gunicorn_alone_refuses_debug_mode(tmp_path: Path) -> None:
    with gunicorn(tmp_path, FLASK_DEBUG="1") as server:
        status = server.process.wait(TIME_LIMIT)

    assert status == 4
    refusal = (
        "Error: debug mode (FLASK_DEBUG) is only allowed for `flask run` on a loopback address"
    )
    assert refusal in server.log.read_text()


FORK_WITH_OPEN_CONNECTIONS = '''
from sqlalchemy import text

from taskbadger.extensions import db
from wsgi import app


def pre_fork(server, worker):
    """Leave a connection in the pool that all workers inherit."""
    with app.app_context():
        db.session.execute(text("SELECT 1"))
        db.session.remove()
'''


def test_workers_forked_with_open_connections_never_mix_their_answers(
    tmp_path: Path, database: str
) -> None:
    """Without the guard in extensions/engines.py, one worker reads what another one asked for."""
    settings = {"TASKBADGER_DATABASE_URL": database}
    run_server("db", "upgrade", home=tmp_path, **settings)
    key = make_key_of(database)
    (tmp_path / "forking.py").write_text(FORK_WITH_OPEN_CONNECTIONS)
    wrong: list[tuple[str, int, bytes]] = []
    options = ("--preload", "--workers", "4", "--threads", "2", "--config", "forking.py")
    with gunicorn(tmp_path, *options, **settings) as server:

        def work(number: int) -> None:
            for turn in range(20):
                name = f"job {number}.{turn}"
                _, made = server.request(
                    "POST", "/api/acme/web/tasks/", key=key, json_body={"name": name}
                )
                task = json.loads(made)
                status, read = server.get(f"/api/acme/web/tasks/{task['id']}/", key=key)
                if (status, json.loads(read)) != (200, task):
                    wrong.append((name, status, read))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert wrong == []


@pytest.mark.parametrize(
    ("bind", "parsed"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("[::1]:80", ("::1", 80)),
        (":9000", ("", 9000)),
    ],
)
def test_bind_is_host_and_port(bind: str, parsed: tuple[str, int]) -> None:
    assert serving.parse_bind(bind) == parsed


@pytest.mark.parametrize("bind", ["8000", "localhost", "localhost:http", "", "[::1]"])
def test_bind_without_a_port_is_refused(bind: str) -> None:
    with pytest.raises(SettingsError) as error:
        serving.parse_bind(bind)

    assert str(error.value) == f"--bind: {bind!r} is not HOST:PORT"


def test_address_for_people_is_one_that_a_browser_takes() -> None:
    with serving.listen("0.0.0.0:0") as anywhere, serving.listen("[::1]:0") as six:
        port, six_port = anywhere.getsockname()[1], six.getsockname()[1]

        assert serving.address_of(anywhere) == f"http://127.0.0.1:{port}"
        assert serving.address_of(six) == f"http://[::1]:{six_port}"


def test_factory_may_be_imported_from_the_package() -> None:
    code = "from taskbadger import create_app; print(create_app.__module__)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "taskbadger.app\n"
