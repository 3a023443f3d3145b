"""Pings: what the end of their addresses means, and how they become runs.

The rules of the addresses: https://healthchecks.io/docs/http_api/.
"""

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from taskbadger.domain.status import ERROR, SUCCESS

MAX_BODY = 100_000
"""Bytes of a ping's body that are kept."""
MAX_KEPT = 100
"""The latest pings of a monitor that are kept, at least."""
DEFAULT_TIMEOUT = 86_400
DEFAULT_GRACE = 3600
"""Seconds: the schedule of a monitor that its first ping makes."""
ENVIRONMENT = "environment"
"""The tag that says where a job ran."""
_EXIT_STATUS = re.compile(r"[0-9]{1,3}", re.ASCII)


class Signal(StrEnum):
    """What a ping says about a run."""

    START = "start"
    SUCCESS = "success"
    FAIL = "fail"
    LOG = "log"
    """Something to keep; it changes nothing."""


ENDS = frozenset({Signal.SUCCESS, Signal.FAIL})


@dataclass(frozen=True, slots=True)
class Sent:
    """A ping as it was sent."""

    signal: Signal
    exit_status: int | None = None
    run_id: UUID | None = None
    output: str | None = None
    scheme: str = "http"
    method: str = "GET"
    address: str = ""
    user_agent: str = ""
    environment: str | None = None
    """Where the job runs, which becomes a tag of a new task."""
    duration: timedelta | None = None
    """How long a run took whose start was not reported."""
    restarts: bool = True
    """Whether a second start begins the run again; otherwise it is a sign of life."""


def read_end(text: str) -> tuple[Signal, int | None] | None:
    """Return what the last part of an address means: its signal and its exit status.

    None where it means nothing. An empty one is a success.
    """
    if text == "":
        return Signal.SUCCESS, None
    if text in (Signal.START, Signal.FAIL, Signal.LOG):
        return Signal(text), None
    if not _EXIT_STATUS.fullmatch(text) or int(text) > 255:
        return None
    return (Signal.FAIL if int(text) else Signal.SUCCESS), int(text)


def ping_url(base_url: str, name: object) -> str:
    """Return an address for pings; *name* is a monitor's ``ping_id``, or a key."""
    return f"{base_url}/ping/{name}"


def read_body(body: bytes) -> str | None:
    """Return the text of a body, cut to MAX_BODY bytes; None for an empty one."""
    if not body:
        return None
    kept = body[:MAX_BODY]
    if len(body) > MAX_BODY:
        # A character that the limit cuts in two goes as a whole.
        kept = kept.decode("utf-8", "ignore").encode() if _is_text(body) else kept
    return kept.decode("utf-8", "replace").replace("\0", "�")


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def status_of(signal: Signal) -> str:
    """Return the status of the task that a ping starts or ends."""
    return {Signal.START: "processing", Signal.SUCCESS: SUCCESS, Signal.FAIL: ERROR}[signal]


def data_of(sent: Sent, before: str | None = None) -> str | None:
    """Return the ``data`` of the task, as JSON, *before* being that of the start."""
    data: dict[str, Any] = json.loads(before) if before else {}
    if not isinstance(data, dict):
        data = {}
    if sent.exit_status is not None:
        data["exit_status"] = sent.exit_status
    if sent.output is not None:
        data["output"] = sent.output
    if sent.signal is Signal.FAIL:
        data["error"] = _why(sent, data.get("output"))
    return json.dumps(data, ensure_ascii=False) if data else None


def _why(sent: Sent, output: Any) -> str:
    """Return the last line of the output; else what is known."""
    if isinstance(output, str):
        for line in reversed(output.splitlines()):
            if line.strip():
                return line.strip()[:1000]
    return "failed" if sent.exit_status is None else f"exit status {sent.exit_status}"
