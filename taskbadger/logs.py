"""Structured logs to standard error. Never a token, a body or a query."""

import logging
import sys
import time

import structlog
from flask import Flask, Response, g, request

from taskbadger.settings import Settings

log = logging.getLogger("taskbadger.request")


def init_logs(app: Flask, settings: Settings) -> None:
    """Log as the settings say: one line per request, if wanted, and everything of our loggers."""
    configure(settings)
    if settings.LOG_REQUESTS and log.isEnabledFor(logging.INFO):
        app.before_request(_start)
        app.after_request(_log_request)


def configure(settings: Settings) -> None:
    """Send the records of our loggers to standard error, as JSON or for people."""
    logger = logging.getLogger("taskbadger")
    logger.setLevel(settings.LOG_LEVEL)
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    if settings.LOG_FORMAT == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logger.handlers[:] = [handler]
    logger.propagate = settings.TESTING  # pytest's caplog listens at the root


def _start() -> None:
    g.started = time.perf_counter()


def _log_request(response: Response) -> Response:
    log.info(
        "request",
        extra={
            "method": request.method,
            "path": request.path,
            "status": response.status_code,
            "ms": round((time.perf_counter() - g.started) * 1000, 1),
            "address": request.remote_addr,
        },
    )
    return response
