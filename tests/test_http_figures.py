"""The HTTP figures of this host: what is counted, by one process and by several together."""

import errno
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import NO_DATABASE, settings
from flask import Flask
from processes import Server, gunicorn, lives, serve, wait_until
from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.parser import text_string_to_metric_families

from taskbadger import http_figures
from taskbadger.app import create_app
from taskbadger.errors import SettingsError
from taskbadger.http_figures import BUCKETS, DURATION, FOLDER, REQUESTS, HttpFigures, http_families

Labels = tuple[str, str, str]
HEALTH = ("GET", "/healthz", "200")
TOKEN = "k3-0123456789abcdefghijklmnopqrstuv"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Flask:
    """An application without a database, which counts alone."""
    monkeypatch.delenv(FOLDER, raising=False)
    return create_app(settings(DATABASE_URL=NO_DATABASE))


def families_of(app: Flask) -> list[Metric]:
    with app.app_context():
        return list(http_families())


def counted(families: Any) -> dict[Labels, float]:
    """Return the number of requests by method, route and code; the durations must have the same."""
    requests, durations = families
    found = {by(sample.labels): sample.value for sample in requests.samples}
    assert found == {
        by(sample.labels): sample.value
        for sample in durations.samples
        if sample.name == f"{DURATION}_count"
    }
    return found


def by(labels: dict[str, str]) -> Labels:
    assert set(labels) == {"method", "route", "code"}
    return labels["method"], labels["route"], labels["code"]


def test_requests_are_counted_by_method_route_and_code(app: Flask) -> None:
    client = app.test_client()
    client.get("/healthz")
    client.get("/healthz?key=secret")
    client.get("/api/acme/web/tasks/some-id/")
    client.delete("/api/acme/web/tasks/another-id/")
    client.post("/healthz")
    client.options("/healthz")

    assert counted(families_of(app)) == {
        ("GET", "/healthz", "200"): 2,
        ("GET", "/api/<organization_slug>/<project_slug>/tasks/<id>/", "401"): 1,
        ("DELETE", "/api/<organization_slug>/<project_slug>/tasks/<id>/", "401"): 1,
        ("POST", "other", "405"): 1,
        ("OPTIONS", "/healthz", "200"): 1,
    }


def test_paths_and_methods_that_clients_make_up_share_a_label(app: Flask) -> None:
    client = app.test_client()
    for number in range(3):
        client.get(f"/nowhere/{number}")
        client.open("/nowhere", method=f"BREW{number}")

    assert counted(families_of(app)) == {
        ("GET", "other", "404"): 3,
        ("other", "other", "404"): 3,
    }


def test_a_mistake_of_ours_is_counted(app: Flask) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.add_url_rule("/broken/<int:number>", view_func=lambda number: number / 0)

    app.test_client().get("/broken/7")

    assert counted(families_of(app)) == {("GET", "/broken/<int:number>", "500"): 1}


def test_the_time_counts_from_the_arrival_of_a_request(app: Flask) -> None:
    # As the web server does when a request has waited for a thread.
    app.before_request(lambda: http_figures.time_limit.begin(0.0))
    app.test_client().get("/healthz")

    _, durations = families_of(app)

    buckets = {
        sample.labels["le"]: sample.value
        for sample in durations.samples
        if sample.name == f"{DURATION}_bucket"
    }
    assert buckets == {**{str(bucket): 0 for bucket in BUCKETS}, "+Inf": 1}


def test_before_the_first_request_the_figures_have_names_only(app: Flask) -> None:
    assert [(family.name, family.type, family.samples) for family in families_of(app)] == [
        ("taskbadger_http_requests", "counter", []),
        ("taskbadger_http_request_duration_seconds", "histogram", []),
    ]


def test_no_more_combinations_are_counted_than_memory_is_meant_for(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_figures, "MAX_SERIES", 2)
    client = app.test_client()

    statuses = [client.open("/healthz", method=method) for method in ("GET", "HEAD", "OPTIONS")]

    assert [answer.status_code for answer in statuses] == [200, 200, 200]
    assert counted(families_of(app)) == {
        ("GET", "/healthz", "200"): 1,
        ("HEAD", "/healthz", "200"): 1,
    }


def test_without_the_library_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_figures, "find_spec", lambda _name: None)
    app = create_app(settings(DATABASE_URL=NO_DATABASE))

    assert app.test_client().get("/healthz").status_code == 200
    assert list(families_of(app)) == []
    assert not any(
        getattr(hook, "__self__", None).__class__ is HttpFigures
        for hook in app.after_request_funcs[None]
    )


def test_a_shared_folder_that_is_missing_prevents_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "none"))

    with pytest.raises(SettingsError, match=r"PROMETHEUS_MULTIPROC_DIR: .*/none is no folder that"):
        create_app(settings(DATABASE_URL=NO_DATABASE))


def test_commands_do_not_import_the_library() -> None:
    script = f"""
import sys
from taskbadger.app import create_app
from taskbadger.settings import Settings
create_app(Settings(SECRET_KEY="0123456789abcdef0123456789abcdef", DATABASE_URL={NO_DATABASE!r}))
print(*sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert find_spec("prometheus_client") is not None
    packages = {name.partition(".")[0] for name in done.stdout.split()}
    assert packages & {"prometheus_client", "sentry_sdk", "opentelemetry"} == set()


def test_a_full_disk_costs_figures_only(
    app: Flask,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    figures = HttpFigures(str(tmp_path))
    app.after_request(figures.note)
    monkeypatch.setattr(os, "posix_fallocate", fail, raising=False)

    answers = [app.test_client().get("/healthz").status_code for _ in range(3)]

    assert answers == [200, 200, 200]
    assert [record.getMessage() for record in caplog.records] == ["cannot count all requests"]
    assert counted(figures.families()) == {}
    assert counted(families_of(app)) == {("GET", "/healthz", "200"): 3}


def test_a_file_has_room_before_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "histogram_1.db"

    http_figures._make_room(path)
    first = path.stat()
    written = MmapedDict(str(path))
    for number in range(500):
        http_figures._make_room(path)
        written.write_value(f"{number:0100}", float(number), 0.0)
    written.close()

    for made in (first, path.stat()):
        assert made.st_blocks * 512 >= made.st_size > 0
    assert [value for _, value, _, _ in MmapedDict.read_all_values_from_file(str(path))] == [
        float(number) for number in range(500)
    ]


def file_of(folder: Path, process: int, bucket: float) -> Path:
    """Write what a process counted: one request, in the last bucket."""
    path = folder / f"histogram_{process}.db"
    written = MmapedDict(str(path))
    labels = (["method", "route", "code"], ["GET", "/healthz", "200"])
    for name, names, values, value in (
        ("_sum", *labels, 0.5),
        ("_bucket", [*labels[0], "le"], [*labels[1], "+Inf"], bucket),
    ):
        written.write_value(mmap_key(DURATION, DURATION + name, names, values, "help"), value, 0.0)
    written.close()
    return path


def test_what_ended_processes_counted_is_kept_in_one_file(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    file_of(tmp_path, 0, 5.0)
    file_of(tmp_path, ended.pid, 2.0)
    file_of(tmp_path, os.getpid(), 1.0)
    (tmp_path / f"histogram_{2**22 + 1}.db").touch()  # Killed while it began.

    http_figures._sum_up_ended(tmp_path)
    http_figures._sum_up_ended(tmp_path)

    assert {path.name for path in tmp_path.glob("*.db")} == {
        "histogram_0.db",
        f"histogram_{os.getpid()}.db",
    }
    assert counted(HttpFigures(str(tmp_path)).families()) == {("GET", "/healthz", "200"): 8}


def test_nobody_waits_long_for_a_process_that_stopped_with_the_lock(tmp_path: Path) -> None:
    file_of(tmp_path, os.getpid(), 1.0)
    file_of(tmp_path, 2**22 + 1, 1.0)
    with http_figures._locked(tmp_path, http_figures.fcntl.LOCK_EX, seconds=0) as is_locked:
        assert is_locked
        http_figures._sum_up_ended(tmp_path)
        found = counted(HttpFigures(str(tmp_path)).families())

    assert found == {("GET", "/healthz", "200"): 2}
    assert len(list(tmp_path.glob("*.db"))) == 2


def scraped(server: Server) -> dict[Labels, float]:
    """Return the numbers of requests that one of the workers shows to Prometheus."""
    status, body = server.get("/metrics", key=TOKEN)
    assert status == 200, body
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    return counted((families[REQUESTS], families[DURATION]))


def test_workers_count_together_and_none_of_it_is_lost_with_one(tmp_path: Path) -> None:
    with serve(tmp_path, "--no-worker", "--workers", "2", TASKBADGER_METRICS_TOKEN=TOKEN) as server:
        for _ in range(50):
            assert server.get("/healthz")[0] == 200
        assert [scraped(server)[HEALTH] for _ in range(5)] == [50] * 5
        folder = Path(server.gunicorn.environ()[FOLDER])
        assert folder.stat().st_mode & 0o777 == 0o700

        for worker in server.gunicorn.children():
            worker.kill()
        wait_until(
            lambda: server.get("/healthz") and (folder / "histogram_0.db").exists(), "new workers"
        )

        numbers = [scraped(server)[HEALTH] for _ in range(5)]
        assert numbers == sorted(numbers)
        assert numbers[0] > 50
        assert len(list(folder.glob("*.db"))) <= 4
        assert server.stop() == 0

    assert not folder.exists()


def test_workers_of_gunicorn_alone_count_in_the_folder_that_they_are_given(tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    with gunicorn(tmp_path / "home", "--workers", "2", **{FOLDER: str(folder)}) as server:
        for _ in range(20):
            assert server.get("/healthz")[0] == 200

        assert counted(HttpFigures(str(folder)).families()) == {HEALTH: 20}


def test_what_a_killed_server_left_is_deleted_by_the_next(tmp_path: Path) -> None:
    parent = tmp_path / "shared"
    parent.mkdir()
    script = f"""
import os, signal
from taskbadger import serving
serving._SHARED_MEMORY = {str(parent)!r}
print(serving.figures_folder(), flush=True)
signal.pause()
"""
    command = [sys.executable, "-c", script]
    first, second, third = (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)
    )
    running = [first, second, third]
    try:
        folders = [Path(process.stdout.readline().strip()) for process in running]  # type: ignore[union-attr]
        assert sorted(parent.iterdir()) == sorted(folders)
        (folders[0] / "histogram_1.db").touch()
        first.kill()
        first.wait()
        wait_until(lambda: not lives_at(first.pid), "the end")

        again = subprocess.run(
            [sys.executable, "-c", script.replace("signal.pause()", "")],
            capture_output=True,
            text=True,
            check=True,
        )
        new = Path(again.stdout.strip())

        assert sorted(parent.iterdir()) == sorted([folders[1], folders[2], new])
    finally:
        for process in running:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def lives_at(number: int) -> bool:
    return psutil.pid_exists(number) and lives(psutil.Process(number))
