"""The kind of a failure: what failed tasks with the same cause have in common.

A kind is found by its *fingerprint*, the digest of the exception's type, its message without what
varies, and the innermost frame of the user's own code. The text comes from the fields that clients
send in ``data``; without any, the cause itself is the kind.
"""

import json
import re
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

from taskbadger.domain import secrets, traces
from taskbadger.domain.placeholders import clean, generalize, shorten
from taskbadger.domain.status import ERROR, STALE
from taskbadger.domain.traces import Failure, Frame

MAX_TEXT = 65_536
"""Characters of ``data`` that are looked at: the first and the last half of them."""
MAX_TITLE = 200
MAX_HEADLINE = 500
MAX_PLACE = 100
"""Characters of a frame's file, and of its function."""
OVERDUE = "max_runtime_exceeded"
FIELDS = ("exception", "traceback", "error", "message", "stderr", "return_code")
"""The first that says something wins."""
_OWN_FIELDS = {ERROR: FIELDS, STALE: FIELDS[:3], OVERDUE: FIELDS[:3]}
"""A task that is late has no failed command, and its message is about its progress."""
_TITLES = {ERROR: "error without details", OVERDUE: "max runtime exceeded"}

_FIELD = re.compile(
    rf'(?<=[{{,\s])"({"|".join(FIELDS)})"\s*+:\s*+("[^"\\]*+(?:\\.[^"\\]*+)*+"?|-?\d+)', re.S
)
"""A field in text that is not whole; in valid JSON, no string contains such a quotation mark."""
_TYPES = ("type", "name", "class")
_MESSAGES = ("message", "msg", "detail", "description", "error")
_TRACES = ("traceback", "stack", "stacktrace", "stack_trace")
_NUMBER = re.compile(r"-?\d{1,10}")
_NAMED = re.compile(r"^(?:\w+\.)+(?=\w*(?:Error|Exception|Warning|Timeout|Exit|Interrupt)(?:: |$))")
_SCRIPT = re.compile(r"([^\s:]+): (?:line )?\d+: ")
_WRAPPERS = re.compile(
    r"make(?:\[\d+\])?: |ninja: build stopped|npm (?:ERR!|error) |exit status \d"
    r"|tar(?: \(child\))?: (?:Exiting|Error is not|Child)|rsync error: some files|Node\.js v\d"
    r"|LINE \d+: |(?:DETAIL|HINT|CONTEXT|STATEMENT): |[Uu]sage: |[Uu]se --help|Try [^\n]*help"
    r"|Command exited with|[^`]*line \d+: `|\s|\++ |[-=~^*#\s]*$"
)
"""Last lines of stderr that only say that something before them failed."""
_LAST_LINES = 20
_SHELLS = ("sh", "bash", "dash", "zsh")
"""In place of a script's name, if a command was run without a script."""


class FailureKind(NamedTuple):
    """What failures with the same *fingerprint* have in common."""

    fingerprint: str
    title: str
    """In words, at most `MAX_TITLE` characters."""
    frame: Frame | None = None
    """The innermost frame of the user's own code, if the text has a trace."""


OTHERS = {
    ERROR: FailureKind("other", "other failures"),
    STALE: FailureKind("other stale", "stale: other failures"),
    OVERDUE: FailureKind("other overdue", f"{_TITLES[OVERDUE]}: other failures"),
}
"""The kinds that take the failures of a name that has too many kinds, by their cause."""


class ErrorText(NamedTuple):
    """What a task says of its failure, as it was sent."""

    headline: str
    """The exception and its message, or the line that says what failed."""
    text: str
    """All of it, such as the trace; empty if the headline is all."""


def error_text(data: str | None, cause: str = ERROR) -> ErrorText | None:
    """Return what the task says where `failure_kind` looks; None if it says nothing.

    It has no lone surrogates or NUL, and its secrets are masked. Never raises.
    """
    fields, found = _parse(data or "", cause)
    if found is None:
        return None
    text, failure = found
    beside = "" if failure.frame else _trace_beside(fields)
    first, body = _headline(failure), _shown(beside or text).strip("\n")
    return ErrorText(first, "" if body.strip() == first else body)


def headline(data: str | None, cause: str = ERROR) -> str:
    """Return the headline of `error_text`; empty if the task says nothing. Never raises."""
    _, found = _parse(data or "", cause)
    return _headline(found[1]) if found else ""


@lru_cache(maxsize=1)
def _headline(failure: Failure) -> str:
    line = ": ".join(part.strip() for part in failure[:2] if part.strip())
    return shorten(_shown(line), MAX_HEADLINE)


@lru_cache(maxsize=1)
def _parse(data: str, cause: str) -> tuple[dict[str, Any], tuple[str, Failure] | None]:
    """Return the fields of *data*, not to be changed, and the first text with a meaning.

    Remembers the last task: its failure is asked for by the kind, the messages and the monitor.
    """
    fields = _read(data)
    return fields, _first(fields, cause)


def _first(fields: dict[str, Any], cause: str) -> tuple[str, Failure] | None:
    """Return the first text with a meaning, and what it says; None if there is none."""
    for name in _OWN_FIELDS.get(cause, ()):
        text = _text(fields.get(name), name)
        failure = _interpret(text, name) if text else None
        if failure and (failure.type or failure.message):
            return text, failure
    return None


def _trace_beside(fields: dict[str, Any]) -> str:
    """Return the text of the first trace in a field of its own; empty if there is none."""
    texts = (_text(fields.get(name), name) for name in _TRACES)
    return next((text for text in texts if traces.read(text)), "")


def _shown(text: str) -> str:
    safe = text[:MAX_TEXT].encode("utf-8", "replace").decode().replace("\0", "�")
    return str(secrets.masked(safe))


def failure_kind(data: str | None, cause: str = ERROR) -> FailureKind:
    """Return the kind of a failure; *data* is JSON as tasks store it. Never raises.

    *cause* is ``error``, ``stale`` or ``max_runtime_exceeded``.
    """
    failure = _failure(*_parse(data or "", cause))
    named = _TITLES.get(cause, cause)
    text = _words(failure) if failure else ""
    if failure is None or not text:
        return FailureKind(_digest(cause), named)
    prefix = "" if cause == ERROR else f"{named}: "
    frame = _clean_frame(failure.frame)
    fingerprint = _digest(cause, text, failure.context, *(frame or ()))
    return FailureKind(fingerprint, _title(prefix + text, failure.context), frame)


def _words(failure: Failure) -> str:
    """Return the type and the message without secrets and what varies."""
    kind = clean(failure.type[:MAX_PLACE]).strip()
    start = f"{kind}: " if kind else ""
    message = generalize(secrets.masked_text(start + failure.message)[len(start) :])
    return ": ".join(part for part in (kind, message) if part)


def _digest(*parts: str) -> str:
    text = "\0".join(parts)
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _title(text: str, context: str) -> str:
    """Return the text with the exception's context behind it, shortened if needed."""
    if not context:
        return shorten(text, MAX_TITLE)
    end = f" ({'in' if context.endswith('Group') else 'from'} {shorten(context, 50)})"
    return shorten(text, MAX_TITLE - len(end)) + end


def _clean_frame(frame: Frame | None) -> Frame | None:
    return frame and Frame(*(shorten(clean(part[:1000]), MAX_PLACE) for part in frame))


def _read(data: str) -> dict[str, Any]:
    """Return the fields of *data*; numbers are text."""
    if len(data) > MAX_TEXT:
        return _salvage(_without_middle(data))
    try:
        value = json.loads(data, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return _salvage(data)
    if isinstance(value, str):
        return {"message": value}
    return value if isinstance(value, dict) else {}


def _without_middle(data: str) -> str:
    """Return both ends of *data*, the second one from the start of a line, as JSON writes it."""
    head, tail = data[: MAX_TEXT // 2], data[-MAX_TEXT // 2 :]
    return head.rstrip("\\") + tail[max(tail.find("\\n", 0, 2000), 0) :].lstrip('"')


def _salvage(text: str) -> dict[str, Any]:
    """Return what fields there are in JSON that is not whole, at whatever depth."""
    found: dict[str, Any] = {}
    for match in _FIELD.finditer(text):
        if match[1] not in found:
            found[match[1]] = _unescape(match[2])
    return found


def _unescape(raw: str) -> str:
    if not raw.startswith('"'):
        return raw
    body = raw[1:].removesuffix('"')
    try:
        return str(json.loads(f'"{body}"', strict=False))
    except ValueError:
        return body.replace("\\n", "\n").replace('\\"', '"')


def _failure(fields: dict[str, Any], found: tuple[str, Failure] | None) -> Failure | None:
    """Return what the first field with a meaning says, and the frame of the first trace."""
    if found is None:
        return None
    return found[1] if found[1].frame else _with_trace(found[1], fields)


def _with_trace(failure: Failure, fields: dict[str, Any]) -> Failure:
    """Add what a trace beside the message says."""
    for name in _TRACES:
        trace = traces.read(_text(fields.get(name), name))
        if trace and trace.message == failure.message:
            return trace
        if trace and trace.frame:
            return failure._replace(frame=trace.frame)
    return failure


def _text(value: Any, name: str) -> str:
    """Return the text of a field of any type; empty if it says nothing."""
    if isinstance(value, list):
        return "\n".join(part for part in value if isinstance(part, str))
    if isinstance(value, dict):
        return _object_text(value)
    if not isinstance(value, str) or not value.strip():
        return ""
    return _code_text(int(value), name) if _NUMBER.fullmatch(value[:12]) else value


def _code_text(code: int, name: str) -> str:
    """Return a number in words, which generalizing keeps."""
    if not code:
        return ""
    if name != "return_code":
        return f"{name} code {code}" if name == "error" else f"error code {code}"
    return f"exit code {code}" if code > 0 else f"killed by signal {-code}"


def _object_text(value: dict[str, Any]) -> str:
    """Return the text of an object that describes an error: its trace, or type and message."""
    kind, message, trace = (
        next((value[name] for name in names if value.get(name)), "")
        for names in (_TYPES, _MESSAGES, _TRACES)
    )
    parts = [part for part in (kind, message) if isinstance(part, str)]
    text = ": ".join(part for part in parts if part)
    told = "\n".join(trace) if _is_text(trace) else trace
    return told if isinstance(told, str) and traces.read(told) else text


def _is_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _interpret(text: str, name: str) -> Failure:
    trace = traces.read(text)
    if trace:
        return trace
    if name == "stderr":
        return _last_words(text)
    line = traces.first_line(text)
    return traces.read_retry(line) or Failure(message=_NAMED.sub("", line, count=1))


def _last_words(text: str) -> Failure:
    """Return the last line of stderr that says what failed, and the script that it names."""
    lines = text.rstrip()[-8000:].splitlines()
    telling = (line for line in reversed(lines[-_LAST_LINES:]) if not _WRAPPERS.match(line))
    line = next(telling, lines[-1] if lines else "").strip()
    script = _SCRIPT.match(line[:1000])
    if script is None:
        return Failure(message=_NAMED.sub("", line[:1000], count=1))
    file = traces.file_name(script[1])
    return Failure(message=line[script.end() :], frame=None if file in _SHELLS else Frame(file))
