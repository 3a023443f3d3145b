"""Log records as lines: JSON for machines, or text for people; and how they are written.

It imports only the standard library, because the supervisor does. A request writes a line, so
this is on the hot path.
"""

import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from select import PIPE_BUF
from typing import TextIO

REQUEST_LOGGER = "taskbadger.request"
"""Writes one record per request."""
WRITE_SECONDS = 0.05
"""How late a line may be written."""
MAX_WAITING = 10_000
"""How many lines may wait for a reader that is slow; the next one waits for it."""


class LineFormatter(logging.Formatter):
    """Writes a record with what its ``extra`` adds, as *kind* says: ``json`` or ``console``."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line; in the format for people, its traceback follows."""
        # What `extra` adds comes last.
        more = islice(vars(record).items(), _STANDARD_COUNT, None)
        extra = {name: value for name, value in more if name not in _ADDED_LATER}
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        if self.kind == "console":
            line = _line_for_people(record, extra)
            return f"{line}\n{trace}" if trace else line
        level = record.levelname.lower()
        when = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        facts = {"event": record.getMessage(), "level": level, "logger": record.name, **extra}
        facts["timestamp"] = when
        if trace:
            facts["exception"] = trace
        return _encode(facts)


_OF_REQUESTS = ("method", "path", "status", "ms")


def _line_for_people(record: logging.LogRecord, extra: dict[str, object]) -> str:
    """Return a record as people read it on a terminal, with the time of day there."""
    when = time.strftime("%H:%M:%S", time.localtime(record.created))
    if record.name == REQUEST_LOGGER and "ms" in extra:
        method, path, status, ms = (_printable(extra[key]) for key in _OF_REQUESTS)
        return f"{when} {method} {path} {status} {ms} ms"
    values = [f"{name}={_printable(value)}" for name, value in extra.items()]
    words = [when, _printable(record.getMessage()), *values]
    if record.levelno > logging.INFO:
        words[1:1] = [record.levelname]
        words.append(f"({record.name})")
    return " ".join(words)


def _printable(value: object) -> str:
    """Return *value* as text that can neither begin a line nor control a terminal."""
    text = str(value)
    return text if text.isprintable() else repr(text)


_STANDARD_COUNT = len(vars(logging.makeLogRecord({})))
"""How many attributes every record has."""
_ADDED_LATER = {"message", "asctime", "taskName"}
"""What other formatters add to a record."""
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


class GatheringHandler(logging.StreamHandler[TextIO]):
    """Writes the records of a moment together, from a thread of its own.

    Each write lets other threads run, and a thread of a request would have to wait until it may
    go on. A warning and what is worse is written at once, after what came before it.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._records: deque[logging.LogRecord] = deque()
        self._begin()
        os.register_at_fork(after_in_child=self._begin_in_child)

    def _begin(self) -> None:
        self._has_records = threading.Event()
        self._writer: threading.Thread | None = None

    def _begin_in_child(self) -> None:
        self._records.clear()  # The parent writes them.
        self._begin()

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a record soon; its text is made only then."""
        if not self.filter(record):
            return False
        self._records.append(record)
        if record.levelno >= logging.WARNING or len(self._records) > MAX_WAITING:
            self.flush()
        elif not self._has_records.is_set():
            self._has_records.set()
            if self._writer is None:
                self._start_writer()
        return True

    def flush(self) -> None:
        """Write everything now; what cannot be written is lost, since there is nobody to tell."""
        self.acquire()
        try:
            lines = []
            while self._records:
                lines.append(self._line(self._records.popleft()))
            with suppress(Exception):
                for piece in _pieces(lines):
                    self.stream.write(piece)
                    self.stream.flush()
        finally:
            self.release()

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record) + self.terminator
        except Exception:
            self.handleError(record)
            return ""

    def _start_writer(self) -> None:
        writer = threading.Thread(target=self._write_late, name="log", daemon=True)
        try:
            writer.start()
        except RuntimeError:  # There are too many threads, or the interpreter ends.
            self.flush()
            self._has_records.clear()
        else:
            self._writer = writer

    def _write_late(self) -> None:
        while True:
            self._has_records.wait()
            time.sleep(WRITE_SECONDS)
            self._has_records.clear()
            self.flush()


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Join lines to pieces that a pipe keeps whole, though several processes write to it.

    POSIX promises that for PIPE_BUF bytes at a time.
    """
    piece, size = "", 0
    for line in lines:
        length = len(line.encode(errors="replace"))
        if piece and size + length > PIPE_BUF:
            yield piece
            piece, size = "", 0
        piece, size = piece + line, size + length
    if piece:
        yield piece
