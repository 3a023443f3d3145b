"""Traces for OpenTelemetry, sent by OTLP over HTTP to TASKBADGER_OTLP_ENDPOINT.

They need OpenTelemetry's SDK, the extra ``otel``.

A span for each request, each step of a background worker, and each statement in one of them. They
have routes and the text of statements, but no path, query, parameter, address or error text. The
standard variables ``OTEL_…`` decide on the rest: names, headers, sampling, sizes of batches.
"""

import atexit
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, current_app
from flask.globals import request_ctx
from sqlalchemy import Connection, Engine, event

from taskbadger.errors import SettingsError
from taskbadger.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import Span, Tracer

TRACES_PATH = "/v1/traces"
FLUSH_SECONDS = 2.0
"""How long the end of a process may wait for a receiver that does not answer."""
REPEAT_SECONDS = 60.0
"""How often the same failure to send is logged."""
MAX_STATEMENT_CHARS = 4096

_EXTENSION = "taskbadger.tracing"
_NOT_TRACED = frozenset({"/healthz", "/readyz", "/metrics"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def init_tracing(app: Flask, settings: Settings, engine: Engine) -> None:
    """Trace what *app* and *engine* do, if the settings say where to send it.

    Raises SettingsError without the extra. It starts a thread that sends; a forked process gets
    one of its own.
    """
    if not settings.OTLP_ENDPOINT:
        return
    if not _is_installed():
        raise SettingsError(
            "TASKBADGER_OTLP_ENDPOINT needs OpenTelemetry: pip install 'taskbadger-server[otel]'"
        )
    tracer = _tracer(settings.OTLP_ENDPOINT)
    app.extensions[_EXTENSION] = tracer
    app.wsgi_app = _traced(app.wsgi_app, tracer)  # type: ignore[assignment, method-assign]  # Flask's documented way
    app.after_request(_describe)
    _trace_statements(engine, tracer)


def _is_installed() -> bool:
    try:
        return find_spec("opentelemetry.sdk.trace") is not None and (
            find_spec("opentelemetry.exporter.otlp.proto.http") is not None
        )
    except ModuleNotFoundError:
        return False


def step_span(name: str) -> AbstractContextManager[object]:
    """Trace a step of a background worker, if the current application is traced."""
    tracer: Tracer | None = current_app.extensions.get(_EXTENSION)
    if tracer is None:
        return nullcontext()
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 - see `_tracer`

    return _span(tracer, f"step {name}", kind=SpanKind.INTERNAL)


def _tracer(endpoint: str) -> "Tracer":
    # Without the setting, they would only take time and memory.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    for name in (
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        "opentelemetry.sdk._shared_internal",
    ):
        logging.getLogger(name).addFilter(Repeats())
    batches = BatchSpanProcessor(OTLPSpanExporter(endpoint.rstrip("/") + TRACES_PATH))
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_span_processor(batches)
    # The public function waits for half a minute.
    atexit.register(batches._batch_processor.shutdown, timeout_millis=int(FLUSH_SECONDS * 1000))
    return provider.get_tracer("taskbadger")


def _resource() -> "Resource":
    """Return what names this program, unless OTEL_SERVICE_NAME or the like do."""
    from opentelemetry.sdk.resources import (  # noqa: PLC0415 - see `_tracer`
        OTELResourceDetector,
        Resource,
    )

    release = version("taskbadger-server")
    ours = Resource.create({"service.name": "taskbadger", "service.version": release})
    return ours.merge(OTELResourceDetector().detect())


class Repeats(logging.Filter):
    """Drops a log line whose like was written less than a minute ago."""

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is to be written."""
        now = time.monotonic()
        if now - self._written.get(record.msg, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        self._written[record.msg] = now
        return True


@contextmanager
def _span(tracer: "Tracer", name: str, **options: Any) -> Iterator["Span"]:
    """Trace a block; of an error, only its class is told."""
    with tracer.start_as_current_span(
        name, record_exception=False, set_status_on_exception=False, **options
    ) as span:
        try:
            yield span
        except Exception as error:
            _mark_failed(span, error)
            raise


def _mark_failed(span: "Span", error: BaseException | None) -> None:
    from opentelemetry.trace import StatusCode  # noqa: PLC0415 - see `_tracer`

    if error is not None:
        span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(StatusCode.ERROR)


def _traced(application: "WSGIApplication", tracer: "Tracer") -> "WSGIApplication":
    """Trace each request, as a part of the trace that its ``traceparent`` names."""
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 - see `_tracer`
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
        TraceContextTextMapPropagator,
    )

    extract = TraceContextTextMapPropagator().extract

    def serve(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ.get("PATH_INFO") in _NOT_TRACED:
            return application(environ, start_response)
        sent = {
            name: environ.get(f"HTTP_{name.upper()}", "") for name in ("traceparent", "tracestate")
        }
        method = _method(environ.get("REQUEST_METHOD", ""))
        with _span(tracer, method, context=extract(sent), kind=SpanKind.SERVER):
            return application(environ, start_response)

    return serve


def _method(method: str) -> str:
    return method if method in _METHODS else "HTTP"


def _describe(response: Response) -> Response:
    """Add to the span of a request what only the answer tells."""
    from opentelemetry.trace import get_current_span  # noqa: PLC0415 - see `_tracer`

    span = get_current_span()
    if not span.is_recording():
        return response
    request = request_ctx.request
    method = request.method if request.method in _METHODS else "_OTHER"
    span.set_attribute("http.request.method", method)
    span.set_attribute("http.response.status_code", response.status_code)
    if request.url_rule is not None:
        span.set_attribute("http.route", request.url_rule.rule)
        span.update_name(f"{_method(request.method)} {request.url_rule.rule}")
    if response.status_code >= 500:
        _mark_failed(span, None)
    return response


_statement: ContextVar["Span | None"] = ContextVar("statement", default=None)
"""The span of the statement that runs now."""


def _trace_statements(engine: Engine, tracer: "Tracer") -> None:
    """Trace each statement within a span. It comes last of all that listen: they send some, too."""
    from opentelemetry.trace import SpanKind, get_current_span  # noqa: PLC0415 - see `_tracer`

    system = engine.dialect.name

    @event.listens_for(engine, "before_cursor_execute")
    def begin(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        end()
        if get_current_span().is_recording():
            operation = statement.partition(" ")[0].upper()
            attributes = {
                "db.system.name": system,
                "db.operation.name": operation,
                "db.query.text": statement[:MAX_STATEMENT_CHARS],
            }
            _statement.set(
                tracer.start_span(operation, kind=SpanKind.CLIENT, attributes=attributes)
            )

    @event.listens_for(engine, "after_cursor_execute")
    def end(*_: Any) -> None:
        span = _statement.get()
        if span is not None:
            _statement.set(None)
            span.end()

    @event.listens_for(engine, "handle_error")
    def fail(context: Any) -> None:
        span = _statement.get()
        if span is not None:
            _mark_failed(span, context.original_exception)
            end()
