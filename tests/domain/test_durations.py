"""Durations as people write them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain.durations import MAX_SECONDS, DurationError, read, write


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0", 0),
        ("  45  ", 45),
        ("15 min", 900),
        ("15min", 900),
        ("15m", 900),
        ("15 Minutes", 900),
        ("1 minute", 60),
        ("30 s", 30),
        ("30 sec.", 30),
        ("1h", 3600),
        ("2 hrs", 7200),
        ("1h30", 5400),
        ("1 h 30", 5400),
        ("1h30m", 5400),
        ("1h 30min 5s", 5405),
        ("1 hour and 30 minutes", 5400),
        ("1 hour, 30 minutes", 5400),
        ("1 min 30", 90),
        ("2 days", 172_800),
        ("2d12", 216_000),
        ("1 day 6 h", 108_000),
        ("1 week", 604_800),
        ("1w2", 777_600),
        ("1.5 h", 5400),
        ("0.5 min", 30),
        ("1:30:00", 5400),
        ("0:00:05", 5),
        ("100:00:00", 360_000),
        ("0 min", 0),
    ],
)
def test_duration_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert read(text) == seconds


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Write a duration such as 15 min, 1h30 or 2 days."),
        (" ", "Write a duration such as 15 min, 1h30 or 2 days."),
        ("soon", "“soon” is not a duration: write 15 min, 1h30 or 2 days."),
        ("-5", "“-5” is not a duration: write 15 min, 1h30 or 2 days."),
        ("1.5", "“1.5” is not a duration: write 15 min, 1h30 or 2 days."),
        ("1,5 h", "“1,5 h” is not a duration: write 15 min, 1h30 or 2 days."),
        ("5 months", "“5 months” is not a duration: write 15 min, 1h30 or 2 days."),
        ("30 min 1 h", "“30 min 1 h” is not a duration: write 15 min, 1h30 or 2 days."),
        ("1 h 2 h", "“1 h 2 h” is not a duration: write 15 min, 1h30 or 2 days."),
        ("5 s 3", "“5 s 3” is not a duration: write 15 min, 1h30 or 2 days."),
        ("1 h and", "“1 h and” is not a duration: write 15 min, 1h30 or 2 days."),
        ("1 h ,", "“1 h ,” is not a duration: write 15 min, 1h30 or 2 days."),
        ("h", "“h” is not a duration: write 15 min, 1h30 or 2 days."),
        ("٣ min", "“٣ min” is not a duration: write 15 min, 1h30 or 2 days."),
        ("1:30", "“1:30” may be hours or minutes: write 1h30 or 1 min 30 s."),
        ("1:05", "“1:05” may be hours or minutes: write 1h05 or 1 min 5 s."),
        ("1:90:00", "“1:90:00” is not a duration: write 15 min, 1h30 or 2 days."),
        ("0.001 min", "Write whole seconds."),
        ("999999999999", "This duration is too long."),
        ("999999999999 days", "This duration is too long."),
        ("9" * 13, f"“{'9' * 13}” is not a duration: write 15 min, 1h30 or 2 days."),
        ("1 h " * 50, "Write a duration such as 15 min, 1h30 or 2 days."),
    ],
)
def test_error_says_what_to_write(text: str, problem: str) -> None:
    with pytest.raises(DurationError) as raised:
        read(text)

    assert str(raised.value) == problem


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (1, "1 s"),
        (60, "1 min"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (86_400, "1 day"),
        (172_800, "2 days"),
        (604_800, "7 days"),
        (90_061, "1 day 1 h 1 min 1 s"),
    ],
)
def test_duration_is_written_for_people(seconds: int, text: str) -> None:
    assert write(seconds) == text


@given(st.integers(0, MAX_SECONDS))
def test_what_is_written_is_read_back(seconds: int) -> None:
    assert read(write(seconds)) == seconds


@given(st.text(max_size=120) | st.from_regex(r"([0-9.]{1,6} ?[a-z:]{0,4} ?){1,6}"))
def test_any_text_is_a_duration_or_an_error(text: str) -> None:
    with suppress(DurationError):
        assert 0 <= read(text) <= MAX_SECONDS
