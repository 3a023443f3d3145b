"""Why a task failed, in one line."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain.error_lines import MAX_LINE, error_line

TRACE = (
    "Traceback (most recent call last):\n"
    '  File "/app/imports.py", line 9, in load\n    raise ValueError(text)\n'
    "ValueError: key 42 of customer Köln is missing\n"
)


def line(
    data: Any,
    cause: str = "error",
    max_runtime: int | None = None,
    stale_timeout: int | None = None,
) -> str:
    text = data if isinstance(data, str) or data is None else json.dumps(data)
    return error_line(text, cause, max_runtime=max_runtime, stale_timeout=stale_timeout)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"exception": TRACE}, "ValueError: key 42 of customer Köln is missing"),
        ({"exception": "access denied for key 42"}, "access denied for key 42"),
        ({"return_code": 2, "stderr": "a\nfile 7: not found\n"}, "file 7: not found"),
        ({"error": "http://me:hunter2@db/ is away"}, "http://me:••••••@db/ is away"),
        ({"error": "401 for /v1?api_key=sk-live-123"}, "401 for /v1?api_key=••••••"),
        ({"stderr": "a\npassword=hunter2\n"}, "password=••••••"),
        (
            {"error": {"type": "Authorization", "message": "Bearer x1"}},
            "Authorization: Bearer ••••••",
        ),
        ({"error": "tab\there\u202e, and \x00 nul"}, "tab here , and � nul"),
        ({"error": "half \ud800 a pair"}, "half ? a pair"),
        ({"rows": 4}, ""),
        (None, ""),
        ("{", ""),
    ],
)
def test_error_says_what_the_client_sent(data: Any, expected: str) -> None:
    assert line(data) == expected


@pytest.mark.parametrize(
    ("cause", "limits", "expected"),
    [
        (
            "max_runtime_exceeded",
            {"max_runtime": 900},
            "Stopped by the server: ran longer than 15 min",
        ),
        ("max_runtime_exceeded", {}, "Stopped by the server"),
        ("stale", {"stale_timeout": 600}, "No update for 10 min"),
        ("stale", {}, "Stale"),
        ("error", {"max_runtime": 900, "stale_timeout": 600}, "boom"),
    ],
)
def test_our_own_causes_say_what_the_server_did(
    cause: str, limits: dict[str, int], expected: str
) -> None:
    assert line({"exception": "boom"}, cause, **limits) == expected


@given(st.text(max_size=2000))
def test_any_text_becomes_one_line_of_bounded_length(text: str) -> None:
    found = line({"exception": text})

    assert len(found) <= MAX_LINE
    assert found.splitlines() in ([found], [])
    assert found.isprintable()
