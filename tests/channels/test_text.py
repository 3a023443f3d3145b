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


def test_title_of_a_failed_task_says_why() -> None:
    task = {"name": "a", "status": "error", "value_percent": 62}

    assert text.task_title(task, "error", "ValueError: no") == "a: error at 62 %: ValueError: no"
    assert text.task_title(task, "error", "x" * 300) == f"a: error at 62 %: {'x' * 199}…"


OPEN = {
    "id": 9,
    "name": "import",
    "opened": "2026-11-23T16:05:00Z",
    "closed": None,
    "runs": 3,
    "acknowledged_by": None,
}
CLOSED = {**OPEN, "closed": "2026-11-23T18:10:20Z", "runs": 14}
ON_IT = {**OPEN, "acknowledged_by": "anna@example.com"}


@pytest.mark.parametrize(
    ("kind", "incident", "more", "title"),
    [
        (
            "task.failing",
            OPEN,
            {"failure": "ValueError: no"},
            "import is failing: ValueError: no (3 runs since 16:05 UTC)",
        ),
        ("task.failing", {**OPEN, "runs": 1}, {}, "import is failing (1 run since 16:05 UTC)"),
        (
            "task.failing",
            {**OPEN, "opened": "2026-11-21T02:14:00Z", "runs": 1200},
            {},
            "import is failing (1,200 runs since 2026-11-21 02:14 UTC)",
        ),
        (
            "task.new_failure",
            ON_IT,
            {"failure": "KeyError: ‹text›"},
            "import fails in a new way: KeyError: ‹text› (3 runs since 16:05 UTC); "
            "anna@example.com is on it",
        ),
        ("task.reminder", OPEN, {}, "import is still failing (3 runs since 16:05 UTC)"),
        (
            "monitor_failing",
            OPEN,
            {},
            "import is failing (3 failed or missed runs since 16:05 UTC)",
        ),
        (
            "monitor_failing",
            ON_IT,
            {"failure": "disk full"},
            "import is failing: disk full (3 failed or missed runs since 16:05 UTC); "
            "anna@example.com is on it",
        ),
        (
            "monitor_recovered",
            CLOSED,
            {},
            "import recovered after 2 h 5 min, 14 failed or missed runs",
        ),
        (
            "task.reminder",
            OPEN,
            {"failure": "ValueError: no", "unacknowledged_for": 900},
            "import is still failing, and nobody has acknowledged it for 15 min: "
            "ValueError: no (3 runs since 16:05 UTC)",
        ),
        ("task.recovered", CLOSED, {}, "import recovered after 2 h 5 min, 14 failed runs"),
        (
            "task.recovered",
            {**CLOSED, "runs": 1},
            {},
            "import recovered after 2 h 5 min, 1 failed run",
        ),
        (
            "task.recovered",
            CLOSED,
            {"quiet_for": 86400},
            "import: no failure for 24 h, after 14 failed runs in 2 h 5 min",
        ),
        (
            "task.recovered",
            CLOSED,
            {"quiet_for": 5400},
            "import: no failure for 1 h 30 min, after 14 failed runs in 2 h 5 min",
        ),
    ],
)
def test_title_of_an_incident_says_what_happened(
    kind: str, incident: dict[str, Any], more: dict[str, Any], title: str
) -> None:
    assert text.incident_title(kind, "import", incident, now=CREATED, **more) == title


def test_facts_of_a_name_that_is_failing() -> None:
    failing = message(
        kind="task.failing", incident=ON_IT, failure={"id": 4, "title": "ValueError: no"}
    )

    assert text.facts(failing) == [
        ("Where", "demo"),
        ("Task", "import"),
        ("Failure", "ValueError: no"),
        ("Failing since", "2026-11-23 16:05:00 UTC"),
        ("Failed runs", "3"),
        ("Acknowledged by", "anna@example.com"),
        ("Incident", "9"),
        ("When", "2026-11-23 19:10:00 UTC"),
    ]


def test_facts_begin_with_the_error_and_name_the_rule() -> None:
    failing = message(
        kind="task.failing",
        incident={"id": 9},
        failure={"id": 4, "title": "ValueError: no row ‹number›"},
        error="ValueError: no row 7",
        action={"global_action": 3, "name": "imports"},
        task={"name": "import", "status": "error", "tags": {"customer": "42", "env": "prod"}},
    )

    assert text.facts(failing) == [
        ("Error", "ValueError: no row 7"),
        ("Where", "demo"),
        ("Alert rule", "imports"),
        ("Task", "import"),
        ("Status", "error"),
        ("Tags", "customer: 42, env: prod"),
        ("Incident", "9"),
        ("When", "2026-11-23 19:10:00 UTC"),
    ]


def test_of_many_tags_the_first_are_shown() -> None:
    task = {"name": "a", "status": "error", "tags": {f"t{n}": "x" for n in range(12)}}
    shown = dict(text.facts(message(task=task)))["Tags"]

    assert shown == ", ".join([*(f"t{n}: x" for n in range(10)), "and 2 more"])


def test_title_shows_the_beginning_of_a_long_error() -> None:
    title = text.incident_title("task.failing", "import", OPEN, now=CREATED, failure="x" * 300)

    assert title == f"import is failing: {'x' * 199}… (3 runs since 16:05 UTC)"


def test_name_is_not_repeated_beside_the_task() -> None:
    task = {"name": "import", "status": "error"}
    labels = [label for label, _ in text.facts(message(task=task, incident=OPEN))]

    assert labels == [
        "Where",
        "Task",
        "Status",
        "Failing since",
        "Failed runs",
        "Incident",
        "When",
    ]


def test_one_of_something_is_singular() -> None:
    counts = [text.counted(number, "run") for number in (0, 1, 1200)]

    assert counts == ["0 runs", "1 run", "1,200 runs"]


def test_what_can_be_opened_is_named() -> None:
    signed = {"acknowledge": "https://t.example/1", "snooze": "https://t.example/2"}

    assert text.links(message()) == []
    assert text.links(message(url="https://t.example/", links=signed)) == [
        ("Open", "https://t.example/"),
        ("Acknowledge", "https://t.example/1"),
        ("Snooze", "https://t.example/2"),
    ]
    assert text.links(message(links={"snooze": "https://t.example/2"})) == [
        ("Snooze", "https://t.example/2")
    ]


@pytest.mark.parametrize(
    ("incident", "thread"),
    [(OPEN, "incident-9"), (None, None), ({"opened": "2026-11-23T16:05:00Z"}, None)],
)
def test_messages_of_an_incident_have_a_thread(
    incident: dict[str, Any] | None, thread: str | None
) -> None:
    assert text.thread(message(incident=incident)) == thread


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
        ({"kind": "task.failing", "task": {"status": "error"}}, "bad"),
        ({"kind": "task.new_failure"}, "bad"),
        ({"kind": "task.reminder"}, "bad"),
        ({"kind": "task.recovered", "task": {"status": "error"}}, "good"),
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
        ("Incident", "7"),
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
        ("Incident", "7"),
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


@pytest.mark.parametrize("kind", [kind for kind in MESSAGE_KINDS if kind.startswith("task.")])
def test_trigger_is_no_reason_for_a_message_about_an_incident(kind: str) -> None:
    assert text.reason_lines(message(kind=kind, trigger="error,stale")) == []
    assert text.reason_lines(message(kind=kind, reasons=({"text": "Late."},))) == ["Late."]


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
        failure=st.none() | st.dictionaries(st.text(), st.integers() | st.text()),
        links=st.none() | st.dictionaries(st.text(), st.text()),
    )
)
def test_message_survives_being_kept_as_json(original: Message) -> None:
    assert Message.from_json(original.to_json()) == original


def test_message_of_another_version_is_read() -> None:
    newer = MESSAGE.to_json().replace('{"id"', '{"mood":"sunny","id"')

    assert Message.from_json(newer) == MESSAGE
