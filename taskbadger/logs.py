"""Structured logs to standard error. Never a token, a query or a body.

What a request logs has its id, which the answer has as well: the one that the client or a proxy
sent in ``X-Request-ID``, or a new one.
"""

import logging
import re
import sys
import time
from typing import Any
from uuid import uuid4

from flask import Flask, Response, g, has_request_context
from flask.globals import request_ctx

from taskbadger.domain.keys import masked
from taskbadger.log_lines import REQUEST_LOGGER, GatheringHandler, LineFormatter
from taskbadger.settings import Settings

log = logging.getLogger(REQUEST_LOGGER)

REQUEST_ID = "X-Request-ID"
_IS_TAKEN = re.compile(r"[ -~]{1,128}").fullmatch
_ENVIRON_KEY = "taskbadger.request_id"
_PROBES = ("/healthz", "/readyz")
"""Paths that are asked every few seconds, so they are worth a line only at DEBUG."""


def init_logs(app: Flask, settings: Settings) -> None:
    """Configure logging by the settings, with one line per request if wanted."""
    configure(settings)
    logging.setLogRecordFactory(_make_record)
    app.after_request(_name_request)
    if settings.LOG_REQUESTS and log.isEnabledFor(logging.INFO):
        app.before_request(_start)
        app.after_request(_log_request)


def configure(settings: Settings) -> None:
    """Log to standard error, for machines or for people: our records from LOG_LEVEL on.

    Libraries log from WARNING on. Tests keep pytest's handlers.
    """
    logging.getLogger("taskbadger").setLevel(settings.LOG_LEVEL)
    if settings.TESTING:
        return
    _gather_less()
    handler = _handler()
    handler.setFormatter(LineFormatter(format_of(settings)))
    logging.getLogger().handlers[:] = [handler]
    logging.captureWarnings(capture=True)


def format_of(settings: Settings) -> str:
    """Return the format of log lines: what the setting says, or what suits standard error."""
    if settings.LOG_FORMAT != "auto":
        return settings.LOG_FORMAT
    return "console" if sys.stderr.isatty() else "json"


def _handler() -> GatheringHandler:
    """Return the handler that there is, since each has a thread; else a new one."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, GatheringHandler) and handler.stream is sys.stderr:
            return handler
    return GatheringHandler(sys.stderr)


def _gather_less() -> None:
    """Gather nothing for a record that nobody writes (docs.python.org/3/howto/logging.html).

    gunicorn's own lines, outside of ``serve``, have the process id.
    """
    logging._srcfile = None  # As the documentation says.
    logging.logThreads = False
    logging.logMultiprocessing = False
    if sys.version_info >= (3, 12):
        logging.logAsyncioTasks = False


def request_id() -> str | None:
    """Return the id of the request that this context is in; None outside of requests."""
    if not has_request_context():
        return None
    environ = request_ctx.request.environ
    known: str | None = environ.get(_ENVIRON_KEY)
    if known is None:
        sent = environ.get("HTTP_X_REQUEST_ID", "")
        known = environ[_ENVIRON_KEY] = sent if _IS_TAKEN(sent) else uuid4().hex
    return known


def _make_record(*arguments: Any, **options: Any) -> logging.LogRecord:
    """Return a record with the id of its request; it is written later, by another thread."""
    record = logging.LogRecord(*arguments, **options)
    known = request_id()
    if known is not None:
        record.request_id = known
    return record


def _name_request(response: Response) -> Response:
    response.headers[REQUEST_ID] = request_id()
    return response


def _start() -> None:
    g.started = time.perf_counter()


def _log_request(response: Response) -> Response:
    answered = request_ctx.request  # Once: each look at `request` finds it anew.
    extra: dict[str, object] = {
        "method": answered.method,
        "path": masked(answered.path),
        "status": response.status_code,
        "address": answered.remote_addr,
    }
    if "started" in g:  # It is missing if the request failed before `_start`.
        extra["ms"] = round((time.perf_counter() - g.started) * 1000, 1)
    access = g.get("access")
    if access is not None:
        extra["key"] = access.key_id
    log.log(logging.DEBUG if answered.path in _PROBES else logging.INFO, "request", extra=extra)
    return response
