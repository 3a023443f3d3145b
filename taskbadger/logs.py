"""Structured logs to standard error. Never a token, a query or a body."""

import logging
import sys
import time

from flask import Flask, Response, g
from flask.globals import request_ctx

from taskbadger.log_lines import GatheringHandler, LineFormatter
from taskbadger.settings import Settings

log = logging.getLogger("taskbadger.request")


def init_logs(app: Flask, settings: Settings) -> None:
    """Configure logging by the settings, with one line per request if wanted."""
    configure(settings)
    if settings.LOG_REQUESTS and log.isEnabledFor(logging.INFO):
        app.before_request(_start)
        app.after_request(_log_request)


def configure(settings: Settings) -> None:
    """Log to standard error, as JSON or for people: our records from LOG_LEVEL on.

    Libraries log from WARNING on. Tests keep pytest's handlers.
    """
    logging.getLogger("taskbadger").setLevel(settings.LOG_LEVEL)
    if settings.TESTING:
        return
    _gather_less()
    handler = _handler()
    handler.setFormatter(LineFormatter(settings.LOG_FORMAT))
    logging.getLogger().handlers[:] = [handler]
    logging.captureWarnings(capture=True)


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


def _start() -> None:
    g.started = time.perf_counter()


def _log_request(response: Response) -> Response:
    answered = request_ctx.request  # Once: each look at `request` finds it anew.
    extra = {
        "method": answered.method,
        "path": answered.path,
        "status": response.status_code,
        "address": answered.remote_addr,
    }
    if "started" in g:  # It is missing if the request failed before `_start`.
        extra["ms"] = round((time.perf_counter() - g.started) * 1000, 1)
    log.info("request", extra=extra)
    return response
