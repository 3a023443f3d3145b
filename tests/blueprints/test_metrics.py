"""``/metrics``: who may see what, and that Prometheus can read it."""

import dataclasses
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from answers import AUTHENTICATION_FAILED, NOT_AUTHENTICATED, assert_problem
from conftest import count_queries, make_key, make_project, settings
from flask import Flask
from prometheus_client import Metric, parser
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics import parser as openmetrics_parser
from services.stats.counting import count, run
from services.stats.queueing import queued
from time_machine import travel
from watching import make_many
from werkzeug.test import TestResponse

from taskbadger.app import create_app
from taskbadger.blueprints import metrics
from taskbadger.clock import utcnow
from taskbadger.domain.buckets import LIMITS
from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import SettingsError
from taskbadger.extensions import db
from taskbadger.process import process_of
from taskbadger.services import outage
from taskbadger.worker import sweeps

TOKEN = "k3-0123456789abcdefghijklmnopqrstuv"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
"""What Prometheus 2 and 3 ask for."""

OF_PROJECTS = {
    "tasks": ("gauge", {"organization", "project", "status"}),
    "oldest_pending_seconds": ("gauge", {"organization", "project", "queue"}),
    "runs": ("counter", {"organization", "project", "name", "outcome"}),
    "run_duration_seconds": ("histogram", {"organization", "project", "name", "le"}),
    "queue_wait_seconds": ("histogram", {"organization", "project", "name", "le"}),
    "monitor_up": ("gauge", {"organization", "project", "monitor"}),
    "monitor_last_success_timestamp_seconds": ("gauge", {"organization", "project", "monitor"}),
    "monitor_last_duration_seconds": ("gauge", {"organization", "project", "monitor"}),
    "names_failing": ("gauge", {"organization", "project"}),
    "incidents_open": ("gauge", {"organization", "project"}),
    "build_info": ("gauge", {"version", "database"}),
}
OF_ORGANIZATIONS = {
    "deliveries_open": ("gauge", {"kind"}),
    "delivery_oldest_seconds": ("gauge", {"kind"}),
    "delivery_attempts": ("counter", {"kind", "outcome"}),
}
OF_SERVER = {
    "worker_last_turn_timestamp_seconds": ("gauge", {"step"}),
    "sweep_lag_seconds": ("gauge", {"step"}),
    "database_size_bytes": ("gauge", set[str]()),
    "history_count_lag_seconds": ("gauge", set[str]()),
}

OF_HOST = {
    "http_requests": ("counter", {"method", "route", "code"}),
    "http_request_duration_seconds": ("histogram", {"method", "route", "code", "le"}),
}

LABELS = ("organization", "project", "name", "status", "queue", "monitor", "kind", "outcome")
LABELS += ("step", "le", "version", "database")

Metrics = dict[tuple[str, ...], float]


@pytest.fixture
def server(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The application with TOKEN."""
    set_up(app, monkeypatch)
    return app


def set_up(app: Flask, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Change settings; to make another application takes longer."""
    process = process_of(app)
    changed = dataclasses.replace(process.settings, METRICS_TOKEN=TOKEN, **changes)
    monkeypatch.setattr(process, "settings", changed)


def ask(app: Flask, token: str | None = TOKEN, **headers: str) -> TestResponse:
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    db.session.rollback()
    with app.app_context():
        return app.test_client().get("/metrics", headers=headers)


def scrape(app: Flask, token: str = TOKEN) -> list[Metric]:
    process_of(app).forget()
    answer = ask(app, token, Accept=PROMETHEUS)
    assert answer.status_code == 200, answer.text
    return list(openmetrics_parser.text_string_to_metric_families(answer.text))


def shown(families: Iterable[Metric], name: str) -> Metrics:
    """Return the samples of one name, by the values of their labels in the order of LABELS."""
    return {
        tuple(sample.labels[label] for label in LABELS if label in sample.labels): sample.value
        for family in families
        for sample in family.samples
        if sample.name == f"taskbadger_{name}"
    }


def fill(project: ProjectRef) -> None:
    """Let everything happen that has a series."""
    outage.tick(now=utcnow() - timedelta(seconds=3))
    outage.tick(now=utcnow(), turns={"purge": utcnow()})
    run(project, "import", took=2, status="success")
    run(project, 'say "hi"\\\nö', status="error")
    queued(project, ago=30, started=10, ended=5)
    make_many(project, 1)
    db.session.commit()
    count()
    sweeps.count_deliveries()


def test_every_metric_has_its_type_and_labels(server: Flask, project: ProjectRef) -> None:
    fill(project)
    server.test_client().get("/healthz")

    families = {family.name: family for family in scrape(server)}

    expected = OF_PROJECTS | OF_ORGANIZATIONS | OF_SERVER | OF_HOST
    assert list(families) == [f"taskbadger_{name}" for name in _in_order(expected, families)]
    for name, (kind, labels) in expected.items():
        family = families[f"taskbadger_{name}"]
        seen = {label for sample in family.samples for label in sample.labels}
        is_empty = name in (
            "monitor_last_success_timestamp_seconds",
            "monitor_last_duration_seconds",
        )
        assert (family.type, seen) == (kind, set() if is_empty else labels), name


def _in_order(expected: Iterable[str], families: Iterable[str]) -> list[str]:
    """Return what is expected in the order of what there is, so that a difference is readable."""
    places = {name: place for place, name in enumerate(families)}
    return sorted(expected, key=lambda name: places.get(f"taskbadger_{name}", -1))


def test_numbers_are_read_back_as_they_were(server: Flask, project: ProjectRef) -> None:
    fill(project)

    families = scrape(server)

    place = ("acme", "web")
    ends = shown(families, "runs_total")
    assert {key: number for key, number in ends.items() if number} == {
        (*place, "import", "success"): 1,
        (*place, "job", "success"): 1,
        (*place, 'say "hi"\\\nö', "error"): 1,
    }
    assert len(ends) == 4 * 4
    assert shown(families, "run_duration_seconds_sum")[(*place, "import")] == 2
    buckets = shown(families, "run_duration_seconds_bucket")
    assert {key[3]: number for key, number in buckets.items() if key[2] == "import"} == {
        **{str(limit): float(limit >= 2) for limit in LIMITS},
        "+Inf": 1,
    }
    assert shown(families, "queue_wait_seconds_sum")[(*place, "job")] == 20
    assert shown(families, "queue_wait_seconds_count")[(*place, "job")] == 1
    assert shown(families, "monitor_up") == {(*place, "job 0"): 1}
    assert shown(families, "names_failing") == {place: 1}
    assert list(shown(families, "worker_last_turn_timestamp_seconds")) == [("purge",)]
    assert shown(families, "build_info") == {("0.1.0", db.engine.dialect.name): 1}


def test_project_has_its_series_at_zero(server: Flask, project: ProjectRef) -> None:
    families = scrape(server)

    place = ("acme", "web")
    for name in ("runs_total", "tasks", "oldest_pending_seconds", "names_failing"):
        assert set(shown(families, name).values()) == {0.0}, name
    assert shown(families, "run_duration_seconds_count") == {(*place, "other"): 0}
    assert shown(families, "queue_wait_seconds_count") == {(*place, "other"): 0}
    assert shown(families, "incidents_open") == {place: 0}


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (PROMETHEUS, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=nonsense", OPENMETRICS),
        ("text/plain, application/openmetrics-text;q=0.5", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("application/json", TEXT),
        ("*/*", TEXT),
        ("", TEXT),
    ],
)
def test_accept_chooses_the_format(
    server: Flask, project: ProjectRef, accept: str, content_type: str
) -> None:
    fill(project)

    answer = ask(server, Accept=accept)

    headers = (answer.headers["Content-Type"], answer.headers["Cache-Control"])
    assert (answer.status_code, headers) == (200, (content_type, "no-store"))
    module = openmetrics_parser if content_type == OPENMETRICS else parser
    read = list(module.text_string_to_metric_families(answer.text))
    assert shown(read, "runs_total")["acme", "web", "import", "success"] == 1


def test_keys_see_what_is_theirs(server: Flask, project: ProjectRef) -> None:
    for owner in (project, make_project("acme", "api"), make_project("globex", "web")):
        run(owner, "import", status="success")
    count()
    of_project, of_organization = make_key(), make_key(slug=None, scopes="read")

    families = {token: scrape(server, token) for token in (of_project, of_organization, TOKEN)}

    assert {
        token: {key[:2] for key in shown(found, "runs_total")} for token, found in families.items()
    } == {
        of_project: {("acme", "web")},
        of_organization: {("acme", "web"), ("acme", "api")},
        TOKEN: {("acme", "web"), ("acme", "api"), ("globex", "web")},
    }
    names = {token: {family.name for family in found} for token, found in families.items()}
    whole = [
        OF_PROJECTS,
        OF_PROJECTS | OF_ORGANIZATIONS,
        OF_PROJECTS | OF_ORGANIZATIONS | OF_SERVER | OF_HOST,
    ]
    assert list(names.values()) == [{f"taskbadger_{name}" for name in some} for some in whole]


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (None, NOT_AUTHENTICATED),
        ("Bearer ", AUTHENTICATION_FAILED),
        (f"Bearer {TOKEN}x", AUTHENTICATION_FAILED),
        (f"Bearer {TOKEN[:-1]}", AUTHENTICATION_FAILED),
        ("Bearer ümlaut", AUTHENTICATION_FAILED),
        (f"Basic {TOKEN}", NOT_AUTHENTICATED),
        (TOKEN, NOT_AUTHENTICATED),
    ],
)
def test_wrong_token_is_refused(server: Flask, header: str | None, error: tuple[str, str]) -> None:
    headers = {} if header is None else {"Authorization": header}

    answer = server.test_client().get("/metrics", headers=headers)

    assert_problem(answer, 401, *error)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_token_in_the_query_is_no_token(server: Flask) -> None:
    answer = server.test_client().get(f"/metrics?token={TOKEN}&access_token={TOKEN}")

    assert_problem(answer, 401, *NOT_AUTHENTICATED)


def test_no_token_opens_a_server_without_one(app: Flask) -> None:
    assert_problem(ask(app, TOKEN), 401, *AUTHENTICATION_FAILED)
    assert_problem(ask(app, ""), 401, *AUTHENTICATION_FAILED)


def test_key_needs_the_scope_that_reads(server: Flask) -> None:
    detail = "You do not have permission to perform this action."

    assert_problem(ask(server, make_key(scopes="ingest")), 403, "permission_denied", detail)
    assert ask(server, make_key(scopes="admin")).status_code == 200


def test_keys_have_their_rate_limit(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(app, monkeypatch, RATE_LIMIT=2)
    key = make_key()

    assert [ask(app, key).status_code for _ in range(3)] == [200, 200, 429]
    assert [ask(app).status_code for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_metrics_are_only_read(server: Flask, method: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}

    answer = server.test_client().open("/metrics", method=method, headers=headers)

    detail = f"Method “{method.lower()}” not allowed."
    assert_problem(answer, 405, "method_not_allowed", detail)
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_head_has_no_body(server: Flask) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}

    answer = server.test_client().head("/metrics", headers=headers)

    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Content-Type"] == TEXT


def test_scrapes_within_ten_seconds_ask_the_database_once(
    server: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "HOST_FAMILIES", ())
    process_of(server).forget()
    first = ask(server).text
    run(project, "import", status="success")
    count()

    with server.app_context(), count_queries() as statements:
        again = server.test_client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})

    assert (again.text, statements) == (first, [])


@pytest.mark.parametrize("size", [1, 12])
def test_statements_of_a_scrape_do_not_grow(server: Flask, project: ProjectRef, size: int) -> None:
    for number in range(size):
        owner = make_project(f"org{number % 3}", f"p{number}")
        queued(owner, f"q{number}", ago=5)
        run(owner, f"name {number}", status="error")
        make_many(owner, size)
    count()
    key = make_key(slug=None)
    ask(server, key)
    numbers = []
    for token in (TOKEN, key):
        process_of(server).metrics.clear()
        with server.app_context(), count_queries() as statements:
            headers = {"Authorization": f"Bearer {token}"}
            assert server.test_client().get("/metrics", headers=headers).status_code == 200
        numbers.append(len(statements))

    assert numbers == [14, 7]


def test_limit_of_names_holds_for_what_is_shown(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(app, monkeypatch, METRICS_NAMES=1)
    for name in ("a", "b", "c"):
        run(project, name, status="success")
        queued(project, name, ago=10)
    sweeps.count_runs()

    families = scrape(app)

    ends = shown(families, "runs_total")
    assert {key[2]: number for key, number in ends.items() if key[3] == "success"} == {
        "a": 1,
        "other": 2,
    }
    assert {key[2] for key in shown(families, "oldest_pending_seconds")} >= {"", "other"}
    assert len(shown(families, "oldest_pending_seconds")) == 3


@pytest.mark.parametrize("accept", [OPENMETRICS, TEXT])
def test_figures_of_the_host_are_added_for_the_server_alone(
    server: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    numbers = iter((1, 2))

    def of_host() -> Iterable[Metric]:
        yield GaugeMetricFamily("taskbadger_host", "A test.", value=next(numbers))

    monkeypatch.setattr(metrics, "HOST_FAMILIES", (of_host,))
    module = openmetrics_parser if accept == OPENMETRICS else parser

    def host(token: str) -> Metrics:
        text = ask(server, token, Accept=accept).text
        return shown(module.text_string_to_metric_families(text), "host")

    assert [host(TOKEN), host(TOKEN)] == [{(): 1.0}, {(): 2.0}]
    assert host(make_key(slug=None)) == {}


def test_missing_library_is_named(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    key = make_key()

    answer = ask(app, key)

    extra = "pip install 'taskbadger-server[metrics]'"
    detail = f"Metrics need another library on the server: {extra}"
    assert_problem(answer, 501, "not_installed", detail, kind="server_error")
    assert_problem(ask(app, None), 401, *NOT_AUTHENTICATED)
    with pytest.raises(SettingsError) as refused:
        create_app(settings(METRICS_TOKEN=TOKEN))
    assert str(refused.value) == f"TASKBADGER_METRICS_TOKEN needs another library: {extra}"


def test_library_is_not_loaded_before_the_first_scrape(
    server: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = "taskbadger.blueprints.metrics.families"
    monkeypatch.delitem(sys.modules, loaded, raising=False)
    monkeypatch.delattr(metrics, "families", raising=False)

    server.test_client().get("/healthz")
    assert loaded not in sys.modules

    ask(server)
    assert loaded in sys.modules


def test_metrics_are_not_part_of_the_openapi_document(server: Flask) -> None:
    document = server.test_client().get("/api/schema.json").json

    assert document is not None
    assert not [path for path in document["paths"] if "metrics" in path]


def test_outage_is_a_503(make_app: Callable[..., Flask]) -> None:
    away = make_app(DATABASE_URL="postgresql://127.0.0.1:1/none", METRICS_TOKEN=TOKEN)

    answer = away.test_client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})

    detail = "The database is temporarily unavailable. Please try again."
    assert_problem(answer, 503, "service_unavailable", detail, kind="server_error")
    assert answer.headers["Retry-After"]


def test_figures_are_those_of_the_time_of_the_scrape(server: Flask, project: ProjectRef) -> None:
    with travel(utcnow(), tick=False) as clock:
        queued(project, "mail", ago=0)
        before = shown(scrape(server), "oldest_pending_seconds")["acme", "web", "mail"]
        clock.shift(60)
        after = shown(scrape(server), "oldest_pending_seconds")["acme", "web", "mail"]

    assert after - before == pytest.approx(60, abs=0.01)
