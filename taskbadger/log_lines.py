"""Log records as lines: JSON for machines, or text for people.

It imports only the standard library, because the supervisor does. A request writes a line, so
this is on the hot path.
"""

import json
import logging
from datetime import UTC, datetime
from itertools import islice


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
        level = record.levelname.lower()
        when = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        if self.kind == "console":
            values = " ".join(f"{name}={_printable(value)}" for name, value in extra.items())
            event = _printable(record.getMessage())
            line = f"{when} [{level:9}] {event:30} [{record.name}] {values}".rstrip()
            return f"{line}\n{trace}" if trace else line
        facts = {"event": record.getMessage(), "level": level, "logger": record.name, **extra}
        facts["timestamp"] = when
        if trace:
            facts["exception"] = trace
        return _encode(facts)


def _printable(value: object) -> str:
    """Return *value* as text that can neither begin a line nor control a terminal."""
    text = str(value)
    return text if text.isprintable() else repr(text)


_STANDARD_COUNT = len(vars(logging.makeLogRecord({})))
"""How many attributes every record has."""
_ADDED_LATER = {"message", "asctime", "taskName"}
"""What other formatters add to a record."""
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode
