"""Words: titles, facts, reasons, and what is done to long and hostile texts."""

import dataclasses
import html
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.channels import MESSAGE_KINDS, Message, text

CREATED = datetime(2026, 11, 23, 19, 10, 0, 5, tzinfo=UTC)
MESSAGE = Message(id="1", kind="task", created=CREATED, organization="demo", title="hello")
MONITOR = {"id": "m1", "name": "backup", "schedule": "0 3 * * *", "timezone": "Europe/Berlin"}
INCIDENT = {
    "id": 7,
    "opened": "2026-11-23T03:01:00.000000Z",
    "closed": "2026-11-23T06:31:10.000000Z",
    "bad_slots": 3,
}


def message(**changes: Any) -> Message:
    return dataclasses.replace(MESSAGE, **changes)


@pytest.mark.parametrize(
    ("task", "trigger", "title"),
    [
        ({"name": "a", "status": "error", "value_percent": 62}, None, "a: error at 62 %"),
        ({"name": "a", "status": "success", "value_percent": 100}, None, "a: success"),
        (
            {"name": "a", "status": "pre_processing", "value_percent": None},
            None,
            "a: pre processing",
        ),
        (
            {"name": "a", "status": "error", "value_percent": 5},
            "max_runtime_exceeded",
            "a: ran too long at 5 %",
        ),
    ],
)
def test_title_of_a_task(task: dict[str, Any], trigger: str | None, title: str) -> None:
    assert text.task_title(task, trigger) == title


def test_title_of_a_monitor() -> None:
    assert text.monitor_title("backup", "monitor_failing") == "backup: failing"
    assert text.monitor_title("backup", "monitor_recovered") == "backup: recovered"


@pytest.mark.parametrize(
    ("changes", "mood"),
    [
        ({"task": {"status": "error"}}, "bad"),
        ({"task": {"status": "stale"}}, "bad"),
        ({"task": {"status": "processing"}, "trigger": "max_runtime_exceeded"}, "bad"),
        ({"task": {"status": "success"}}, "good"),
        ({"task": {"status": "processing"}}, "neutral"),
        ({"kind": "test"}, "neutral"),
        ({"kind": "monitor_failing"}, "bad"),
        ({"kind": "monitor_recovered"}, "good"),
        ({"kind": "channel_disabled"}, "bad"),
    ],
)
def test_mood(changes: dict[str, Any], mood: str) -> None:
    assert text.mood(message(**changes)) == mood


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (7505, "2 h 5 min"),
        (90061, "1 d 1 h"),
        (86400 * 400, "400 d"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert text.duration(seconds) == words


def test_moment_is_in_utc() -> None:
    there = datetime(2026, 11, 24, 0, 40, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    assert text.moment(there) == "2026-11-23 19:10:00 UTC"


@pytest.mark.parametrize(
    ("zone", "when"),
    [
        ("Asia/Kathmandu", "2026-11-23 19:10:00 UTC (2026-11-24 00:55:00 Asia/Kathmandu)"),
        ("Europe/London", "2026-11-23 19:10:00 UTC (19:10:00 Europe/London)"),
        ("UTC", "2026-11-23 19:10:00 UTC"),
        ("", "2026-11-23 19:10:00 UTC"),
        (None, "2026-11-23 19:10:00 UTC"),
        ("Gone/Away", "2026-11-23 19:10:00 UTC"),
        ("../etc/passwd", "2026-11-23 19:10:00 UTC"),
        ("a\x00b", "2026-11-23 19:10:00 UTC"),
        ("x" * 5000, "2026-11-23 19:10:00 UTC"),
    ],
)
def test_times_are_given_in_the_zone_of_the_monitor_too(zone: str | None, when: str) -> None:
    failing = message(kind="monitor_failing", monitor={**MONITOR, "timezone": zone})

    assert text.facts(failing)[-1] == ("When", when)


def test_facts_of_a_task_that_waits() -> None:
    task = {"name": "a", "status": "pending", "value": None, "created": "2026-11-23T19:00:00Z"}

    assert text.facts(message(task=task)) == [
        ("Where", "demo"),
        ("Task", "a"),
        ("Status", "pending"),
        ("Created", "2026-11-23 19:00:00 UTC"),
        ("When", "2026-11-23 19:10:00 UTC"),
    ]


def test_facts_of_a_task_that_runs() -> None:
    task = {
        "name": "a",
        "status": "processing",
        "value": 7,
        "value_max": 0,
        "value_percent": None,
        "external_id": "job-1",
        "start_time": "2026-11-23T19:00:00Z",
        "end_time": None,
    }

    assert text.facts(message(project="shop", task=task)) == [
        ("Where", "demo/shop"),
        ("Task", "a"),
        ("Status", "processing"),
        ("Progress", "7 of 0"),
        ("External ID", "job-1"),
        ("Started", "2026-11-23 19:00:00 UTC"),
        ("Running for", "10 min"),
        ("When", "2026-11-23 19:10:00 UTC"),
    ]


def test_task_without_any_time_has_none_in_its_facts() -> None:
    labels = [label for label, _ in text.facts(message(task={"name": "a", "status": "pending"}))]

    assert labels == ["Where", "Task", "Status", "When"]


def test_facts_of_a_monitor_that_recovered() -> None:
    recovered = message(kind="monitor_recovered", monitor=MONITOR, incident=INCIDENT)

    assert text.facts(recovered) == [
        ("Where", "demo"),
        ("Monitor", "backup"),
        ("Schedule", "0 3 * * * Europe/Berlin"),
        ("Failing since", "2026-11-23 03:01:00 UTC (04:01:00 Europe/Berlin)"),
        ("Duration", "3 h 30 min"),
        ("Missed or failed runs", "3"),
        ("When", "2026-11-23 19:10:00 UTC (20:10:00 Europe/Berlin)"),
    ]


def test_facts_of_a_monitor_that_is_failing() -> None:
    failing = message(
        kind="monitor_failing",
        monitor={"id": "m1", "name": "backup", "schedule": None, "interval": 5400},
        incident={"id": 7, "opened": "2026-11-23T03:01:00Z", "closed": None, "bad_slots": 0},
    )

    assert text.facts(failing)[1:-1] == [
        ("Monitor", "backup"),
        ("Schedule", "every 1 h 30 min"),
        ("Failing since", "2026-11-23 03:01:00 UTC"),
    ]


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ({"text": "Because\nof this."}, "Because of this."),
        (
            {"point": "error", "kind": "status", "reached": "error", "before": "pre_processing"},
            "The status changed from pre processing to error.",
        ),
        (
            {"point": "error", "kind": "status", "reached": "error", "before": None},
            "The status changed to error.",
        ),
        (
            {
                "point": "*/30%",
                "kind": "percent_multiple",
                "reached": 60,
                "before": 45,
                "after": 61,
            },
            "Progress reached 60 %: from 45 % to 61 % (trigger */30%).",
        ),
        (
            {"point": "20%", "kind": "percent", "reached": 20, "before": None, "after": 25},
            "Progress reached 20 %: 25 % (trigger 20%).",
        ),
        (
            {"point": "250", "kind": "value", "reached": 250, "before": 200, "after": 300},
            "The value reached 250: from 200 to 300 (trigger 250).",
        ),
        (
            {
                "point": "max_runtime_exceeded",
                "kind": "max_runtime_exceeded",
                "reached": "max_runtime_exceeded",
                "before": None,
            },
            "The task ran longer than its maximum run time.",
        ),
        ({"point": "x"}, "The trigger x was reached."),
        ({}, "The trigger ? was reached."),
    ],
)
def test_reason_in_words(reason: dict[str, Any], line: str) -> None:
    assert text.reason_lines(message(reasons=(reason,))) == [line]


def test_trigger_is_the_reason_when_there_is_no_other() -> None:
    assert text.reason_lines(message(trigger="25%")) == ["The trigger 25% was reached."]
    assert text.reason_lines(message()) == []


def test_test_message_says_that_it_is_one() -> None:
    assert text.notes(message(kind="test")) == ["This is a test message. Nothing is wrong."]


def test_what_was_held_back_is_counted() -> None:
    assert text.held_back_line(message()) is None
    assert text.notes(message(held_back=1)) == ["1 alert was held back since the last message."]
    assert text.notes(message(held_back=20)) == ["20 alerts were held back since the last message."]


def test_plain_text_holds_facts_and_notes() -> None:
    assert text.plain(message(held_back=1)) == (
        "Where: demo\nWhen: 2026-11-23 19:10:00 UTC\n1 alert was held back since the last message."
    )


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://x.example/", "https://x.example/"),
        ("http://localhost:8000/a/", "http://localhost:8000/a/"),
        ("javascript:alert(1)", None),
        ("", None),
        (None, None),
    ],
)
def test_only_http_is_a_link(url: str | None, link: str | None) -> None:
    assert text.link(message(url=url)) == link


def test_text_on_one_line_has_no_controls_and_no_direction_marks() -> None:
    assert text.one_line(" a\r\nb\x00c\u202ed\u2029e\tf ") == "a b c d e f"


@given(st.text(max_size=200), st.integers(10, 100))
def test_cut_text_fits_after_escaping(value: str, limit: int) -> None:
    escaped = text.cut(value, limit, html.escape)

    assert len(escaped) <= limit
    assert escaped == html.escape(value) or html.unescape(escaped).endswith("…")


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=100), st.integers(3, 100))
def test_cut_text_fits_in_bytes(value: str, limit: int) -> None:
    cut = text.cut_bytes(value, limit)

    assert len(cut.encode()) <= limit
    assert cut == value or cut.endswith("…")


@given(
    st.builds(
        Message,
        id=st.text("abc-_123", min_size=1),
        kind=st.sampled_from(MESSAGE_KINDS),
        created=st.datetimes(timezones=st.just(UTC)),
        organization=st.text("abc"),
        title=st.text(),
        project=st.none() | st.text("abc"),
        task=st.none() | st.dictionaries(st.text(), st.none() | st.integers() | st.text()),
        action=st.none() | st.dictionaries(st.text(), st.lists(st.booleans())),
        trigger=st.none() | st.text(),
        reasons=st.lists(st.dictionaries(st.text(), st.integers())).map(tuple),
        held_back=st.integers(0),
        url=st.none() | st.text(),
        monitor=st.none() | st.dictionaries(st.text(), st.floats(allow_nan=False)),
        incident=st.none() | st.dictionaries(st.text(), st.text()),
    )
)
def test_message_survives_being_kept_as_json(original: Message) -> None:
    assert Message.from_json(original.to_json()) == original


def test_message_of_another_version_is_read() -> None:
    newer = MESSAGE.to_json().replace('{"id"', '{"mood":"sunny","id"')

    assert Message.from_json(newer) == MESSAGE
