"""Errors and traces as another server receives them: from web workers and background workers."""

import gzip
import json
import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import brotli
import pytest
from conftest import NO_DATABASE, settings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from processes import Server, install_plugin, serve, wait_until
from receivers import HttpReceiver, ReceivedRequest, SilentListener
from worker.test_celery import Broker

from taskbadger import error_reports, tracing
from taskbadger.app import create_app
from taskbadger.error_reports import Cleaner
from taskbadger.errors import SettingsError

KEY = "0123456789ab." + "k3y-" * 8
PLUGIN = f"""
import logging
from taskbadger.worker import steps

def broken(token):
    local = "SECRET-local"
    raise RuntimeError(
        "no answer of https://hooks.example.com/services/SECRET-path for SECRET@example.com,"
        " Authorization: Bearer SECRET-bearer, {KEY}"
    )

def logged():
    logging.getLogger("taskbadger.plugin").error(
        "lost %s", "whsec_SECRET", extra={{"path": "/SECRET-extra", "step": "a step"}}
    )
    return "ok"

def claim(limit):
    raise ValueError("password=SECRET-worker")

def register(app, api):
    app.add_url_rule("/api/broken/<token>", view_func=broken, methods=["POST"])
    app.add_url_rule("/logged", view_func=logged)
    steps.claim = claim
"""
"""A plug-in that fails in a view, and in each background worker."""
TRACE = "0af7651916cd43dd8448eb211c80319c"


@dataclass
class Telemetry:
    """What a receiver has got."""

    http: HttpReceiver

    def events(self) -> list[dict[str, Any]]:
        """Return the events of Sentry."""
        return [
            event for request in self._to("/api/7/envelope/") for event in _events(_body(request))
        ]

    def event_of(self, kind: str) -> dict[str, Any]:
        """Wait for the event with an exception of this kind."""

        def find() -> list[dict[str, Any]]:
            return [
                event
                for event in self.events()
                if "exception" in event and event["exception"]["values"][-1]["type"] == kind
            ]

        found: dict[str, Any] = wait_until(find, f"the event {kind}")[0]
        return found

    def spans(self) -> list[Span]:
        """Return the spans of OpenTelemetry."""
        return [
            span
            for request in self._to("/base/v1/traces")
            for resource in ExportTraceServiceRequest.FromString(_body(request)).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def services(self) -> set[str]:
        """Return the names of the programs that sent spans."""
        return {
            attribute.value.string_value
            for request in self._to("/base/v1/traces")
            for resource in ExportTraceServiceRequest.FromString(_body(request)).resource_spans
            for attribute in resource.resource.attributes
            if attribute.key == "service.name"
        }

    def all_text(self) -> str:
        """Return the bodies of all requests."""
        return "\n".join(_body(request).decode(errors="replace") for request in self.http.requests)

    def _to(self, path: str) -> list[ReceivedRequest]:
        return [request for request in list(self.http.requests) if request.path == path]


def _body(request: ReceivedRequest) -> bytes:
    decompress = {"gzip": gzip.decompress, "br": brotli.decompress, "": bytes}
    return decompress[request.headers.get("content-encoding", "")](request.body)


def _events(envelope: bytes) -> Iterator[dict[str, Any]]:
    """Yield the events of an envelope: lines of JSON, each item after a header of its own."""
    lines = envelope.decode().splitlines()[1:]
    for head, item in zip(lines[::2], lines[1::2], strict=False):
        if json.loads(head)["type"] == "event":
            yield json.loads(item)


@contextmanager
def telling(folder: Path, *options: str, **variables: str) -> Iterator[tuple[Server, Telemetry]]:
    """Run a server with the plug-in, which reports to a receiver."""
    plugins = folder / "plugins"
    plugins.mkdir()
    install_plugin(plugins, "broken", PLUGIN)
    with HttpReceiver() as http:
        telemetry = Telemetry(http)
        host = http.root.removeprefix("http://")
        with serve(
            folder / "home",
            *options,
            PYTHONPATH=str(plugins),
            TASKBADGER_SENTRY_DSN=f"http://public@{host}/7",
            TASKBADGER_OTLP_ENDPOINT=f"{http.root}/base/",
            OTEL_BSP_SCHEDULE_DELAY="200",
            **variables,
        ) as server:
            yield server, telemetry


def attributes(span: Span) -> dict[str, Any]:
    return {
        attribute.key: getattr(attribute.value, attribute.value.WhichOneof("value"))
        for attribute in span.attributes
    }


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> int:
    """Send a request that is full of secrets."""
    request = urllib.request.Request(
        f"{server.address}{path}?key=SECRET-query",
        data=b'{"field": "SECRET-body"}' if method == "POST" else None,
        method=method,
        headers={
            "Authorization": "Bearer SECRET-header",
            "Cookie": "session=SECRET-cookie",
            "Content-Type": "application/json",
            "User-Agent": "SECRET-agent",
            **headers,
        },
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return int(error.code)


def test_web_and_background_workers_report_errors_and_traces_without_secrets(
    tmp_path: Path,
) -> None:
    parent = f"00-{TRACE}-b7ad6b7169203331-01"
    with telling(tmp_path, "--workers", "2") as (server, telemetry):
        assert ask(server, "/api/broken/SECRET-token", "POST") == 500
        assert ask(server, "/logged") == 200
        for _ in range(20):
            assert ask(server, "/api/acme/web/tasks/", traceparent=parent) == 401
        assert ask(server, "/healthz") == 200
        of_web, of_worker = telemetry.event_of("RuntimeError"), telemetry.event_of("ValueError")
        logged = wait_until(
            lambda: [event for event in telemetry.events() if "lost" in str(event)], "the line"
        )
        assert server.stop() == 0
        spans = telemetry.spans()

    assert of_web["transaction"] == "/api/broken/<token>"
    assert of_web["request"] == {"method": "POST"}
    assert of_web["exception"]["values"][-1]["value"] == (
        "no answer of https://hooks.example.com/•••••• for ••••••,"
        " Authorization: Bearer ••••••, ••••••"
    )
    frames = of_web["exception"]["values"][-1]["stacktrace"]["frames"]
    assert frames[-1]["function"] == "broken"
    assert not any("vars" in frame for frame in frames)
    assert {"user", "breadcrumbs", "modules"} & set(of_web) == set()
    assert of_worker["logger"] == "taskbadger.worker.steps"
    assert of_worker["extra"]["step"] == "claim"
    assert logged[0]["logentry"] == {"message": "lost %s", "formatted": "lost ••••••"}
    assert logged[0]["extra"]["step"] == "a step"

    by_name = {span.name: span for span in spans}
    broken, listed = by_name["POST /api/broken/<token>"], _named(spans, "GET /api/")
    assert attributes(broken) == {
        "http.request.method": "POST",
        "http.response.status_code": 500,
        "http.route": "/api/broken/<token>",
    }
    assert broken.status.code == Status.STATUS_CODE_ERROR
    assert len(listed) == 20
    assert {span.trace_id.hex() for span in listed} == {TRACE}
    statements = [span for span in spans if span.parent_span_id == listed[0].span_id]
    assert {span.name for span in statements} == {"SELECT"}
    assert attributes(statements[0])["db.system.name"] == "sqlite"
    assert "FROM api_key" in attributes(statements[0])["db.query.text"]
    assert by_name["step claim"].status.code == Status.STATUS_CODE_ERROR
    assert attributes(by_name["step claim"]) == {"error.type": "ValueError"}
    assert _named(spans, "GET /healthz") == []
    assert telemetry.services() == {"taskbadger"}
    assert "SECRET" not in telemetry.all_text()
    assert KEY not in telemetry.all_text()


def _named(spans: list[Span], start: str) -> list[Span]:
    return [span for span in spans if span.name.startswith(start)]


def test_celery_reports_errors_and_traces(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    try:
        with telling(tmp_path, TASKBADGER_BROKER_URL=broker.url, OTEL_SERVICE_NAME="ours") as (
            _,
            telemetry,
        ):
            event = telemetry.event_of("ValueError")
            spans = wait_until(lambda: _named(telemetry.spans(), "step claim"), "the span")
    finally:
        broker.stop()

    assert event["logger"] == "taskbadger.worker.steps"
    assert spans[0].status.code == Status.STATUS_CODE_ERROR
    assert telemetry.services() == {"ours"}
    assert "SECRET" not in telemetry.all_text()


def test_the_end_of_a_process_waits_two_seconds_for_a_receiver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_the_end: list[Callable[[], None]] = []
    waits: list[float | None] = []
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
    monkeypatch.setattr(
        tracing.atexit, "register", lambda *a, **b: at_the_end.append(partial(*a, **b))
    )
    with SilentListener() as silent:
        tracer = tracing._tracer(f"http://127.0.0.1:{silent.port}")
        tracer.start_span("lost").end()
        monkeypatch.setattr(threading.Thread, "join", lambda _, wait=None: waits.append(wait))

        at_the_end[0]()

        monkeypatch.undo()
    assert waits == [2.0]


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        (
            {"SENTRY_DSN": "https://key@sentry.example.com/1"},
            "sentry_sdk",
            r"TASKBADGER_SENTRY_DSN needs sentry-sdk: pip install 'taskbadger-server\[sentry\]'",
        ),
        (
            {"OTLP_ENDPOINT": "http://localhost:4318"},
            "opentelemetry",
            r"TASKBADGER_OTLP_ENDPOINT needs OpenTelemetry: pip install '.+\[otel\]'",
        ),
    ],
)
def test_a_setting_without_its_extra_prevents_the_start(
    changes: dict[str, str], name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(wanted: str) -> None:
        if wanted != name:
            raise ModuleNotFoundError(wanted)

    monkeypatch.setattr(error_reports, "find_spec", find)
    monkeypatch.setattr(tracing, "find_spec", find)

    with pytest.raises(SettingsError, match=message):
        create_app(settings(DATABASE_URL=NO_DATABASE, **changes))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("nothing to hide in /srv/app.py", "nothing to hide in /srv/app.py"),
        ("GET https://h.example:8443/a/b?c=d failed", "GET https://h.example:8443/•••••• failed"),
        ("(https://h.example)", "(https://h.example)"),
        ("postgresql://me:pw@db.example/tasks", "postgresql://db.example/••••••"),
        ("from Ann <ann+x@example.com>", "from Ann <••••••>"),
        ("YWNtZS93ZWIvMDEyMzQ1Njc4OWFiLmFiY2Rl is no key", "•••••• is no key"),
        (
            "dGhpcyBpcyBqdXN0IHNvbWUgdGV4dCBpbiBiYXNlNjQ=",
            "dGhpcyBpcyBqdXN0IHNvbWUgdGV4dCBpbiBiYXNlNjQ=",
        ),
        ("wrong password: smtp-pass", "wrong password: ••••••"),
        ("said oidc-secret-value twice", "said •••••• twice"),
        ("duplicate key\nDETAIL:  Key (name)=(Ann) exists.", "duplicate key\nDETAIL: ••••••"),
    ],
)
def test_texts_of_events_are_masked(text: str, clean: str) -> None:
    cleaner = Cleaner(
        settings(
            SMTP_URL="smtp://user:smtp-pass@mail.example",
            OIDC_CLIENT_SECRET="oidc-secret-value",
            DATABASE_URL=NO_DATABASE,
        )
    )

    assert cleaner.text(text) == clean


def test_the_same_failure_to_send_is_logged_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(tracing.time, "monotonic", lambda: now)
    repeats: Callable[[logging.LogRecord], bool] = tracing.Repeats().filter  # type: ignore[assignment]

    def passes(text: str) -> bool:
        return repeats(logging.makeLogRecord({"msg": text}))

    assert [passes("a"), passes("a"), passes("b")] == [True, False, True]
    now += 61
    assert passes("a")
