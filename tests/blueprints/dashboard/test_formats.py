"""How times, spans and numbers read."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from taskbadger.blueprints.dashboard import formats
from taskbadger.clock import utcnow

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (0.4, "just now"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (7199, "1 h ago"),
        (172_800, "2 d ago"),
        (-300, "in 5 min"),
    ],
)
def test_moment_reads_relative_to_now(seconds: float, text: str) -> None:
    assert formats.relative(NOW - timedelta(seconds=seconds), now=NOW) == text


def test_absolute_moment_reads_in_utc() -> None:
    moment = datetime(2026, 11, 23, 13, 0, 5, tzinfo=timezone(timedelta(hours=1)))

    assert formats.absolute(moment) == "2026-11-23 12:00:05 UTC"
    assert formats.machine(moment) == "2026-11-23T12:00:05.000Z"
    assert formats.from_unix(moment.timestamp()) == moment


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.25, "250 ms"),
        (1.24, "1.2 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3700, "1 h 1 min"),
        (timedelta(days=2, hours=3), "2 d 3 h"),
        (-5, "−5.0 s"),
    ],
)
def test_span_reads_in_its_two_largest_units(span: timedelta | float | None, text: str) -> None:
    assert formats.duration(span) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (3.9, "3 s"), (60.2, "1 min"), (7290, "2 h 1 min")]
)
def test_time_that_goes_on_reads_in_whole_seconds(seconds: float, text: str) -> None:
    assert formats.elapsed(utcnow() - timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.0005, "≈ 0.5 ms"),
        (0.8714, "≈ 870 ms"),
        (4.52, "≈ 4.5 s"),
        (157.3, "≈ 2.6 min"),
        (871, "≈ 15 min"),
        (90_000, "≈ 25 h"),
        (1e7, "≈ 120 d"),
    ],
)
def test_run_time_that_is_not_exact_reads_in_two_digits(seconds: float | None, text: str) -> None:
    assert formats.about(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9_999, "9,999"), (12_340, "12.3k"), (1_204_312, "1.2M")],
)
def test_large_numbers_are_shortened(number: int, text: str) -> None:
    assert formats.count(number) == text


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140 Safari/537.36 Edg/140", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 16) Chrome/140 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (iPhone; CPU OS 19 like Mac OS X) Version/19 Safari/604", "Safari on iPhone"),
        ("curl/8.1", "curl"),
        ("something of its own", "something of its own"),
        ("", "unknown"),
    ],
)
def test_browser_is_named_in_words(user_agent: str, words: str) -> None:
    assert formats.browser(user_agent) == words


def test_bars_of_failures_stand_below_the_line_and_inside_the_box() -> None:
    assert formats.failure_bars([1, 0, 5], [10, 10, 5]) == [
        ("0.0", "17.0", "2.0"),
        ("96.0", "10.0", "9.0"),
    ]
    assert formats.failure_bars([1], [1]) == [("0.0", "1.0", "18.0")]
    assert formats.failure_bars([], []) == formats.failure_bars([0, 0], [0, 1]) == []


def test_sparkline_fills_its_box_and_survives_nothing() -> None:
    assert formats.points([0, 10], 100, 20) == "0.0,19.0 100.0,1.0"
    assert formats.points([]) == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("import", "import"),
        ("\u200b", "(invisible: U+200B)"),
        ("\u3164\u2800\u200e\u200f\xad", "(invisible: U+3164 U+2800 U+200E U+200F …)"),
        ("\u200bx", "\u200bx"),
        ("日本", "日本"),
    ],
)
def test_name_that_nobody_would_see_is_told(name: str, text: str) -> None:
    assert formats.visible(name) == text
