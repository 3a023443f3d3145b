"""Incidents of names: tables, and random histories against a naive reading of the rule."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain.incidents import Run, Span
from taskbadger.domain.incidents import follow as follow_runs

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
QUIET_AFTER = timedelta(hours=24)


def follow(
    span: Span | None, runs: Iterable[Run], quiet_after: timedelta = QUIET_AFTER
) -> list[Span]:
    return follow_runs(span, runs, quiet_after=quiet_after)


def runs(outcomes: str) -> list[Run]:
    """Return a run per letter, an hour apart: ``f`` failed, ``s`` succeeded, ``.`` did not run."""
    return [
        Run(str(number), START + number * HOUR, letter == "f")
        for number, letter in enumerate(outcomes)
        if letter != "."
    ]


def spans(outcomes: str) -> list[tuple[int, int | None, int]]:
    """Return for each incident: the hour it opened and closed, and how many runs failed."""
    return [
        (
            (span.opened_at - START) // HOUR,
            None if span.closed_at is None else (span.closed_at - START) // HOUR,
            len(span.failed),
        )
        for span in follow(None, runs(outcomes))
    ]


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ("", []),
        ("sss", []),
        ("f", [(0, None, 1)]),
        ("ff", [(0, None, 2)]),
        ("sffs", [(1, 3, 2)]),
        ("fsf", [(0, 1, 1), (2, None, 1)]),
        ("f" + "." * 22 + "f", [(0, None, 2)]),
        ("f" + "." * 23 + "f", [(0, 24, 1), (24, None, 1)]),
        ("f" + "." * 40 + "s", [(0, 24, 1)]),
    ],
)
def test_incidents_of_a_history(outcomes: str, expected: list[tuple[int, int | None, int]]) -> None:
    assert spans(outcomes) == expected


def test_incident_closes_as_soon_as_its_project_wants() -> None:
    first, second = follow(None, runs("f..f"), quiet_after=3 * HOUR)

    assert (first.closed_at, first.recovered_by) == (START + 3 * HOUR, None)
    assert (second.opened_at, second.quiet_at) == (START + 3 * HOUR, START + 6 * HOUR)


def test_open_incident_goes_on() -> None:
    known = Span(START, START, START + QUIET_AFTER, incident_id=7)

    [span] = follow(known, [Run("a", START + HOUR, True), Run("b", START + 2 * HOUR, False)])

    assert (span.incident_id, span.closed_at, span.recovered_by, len(span.failed)) == (
        7,
        START + 2 * HOUR,
        "b",
        1,
    )


def test_incident_that_went_quiet_was_recovered_by_no_run() -> None:
    known = Span(START, START, START + QUIET_AFTER, incident_id=7)

    [span] = follow(known, [Run("a", START + 3 * QUIET_AFTER, False)])

    assert (span.closed_at, span.recovered_by) == (START + QUIET_AFTER, None)


def test_success_that_is_reported_late_closes_no_incident_before_it_opened() -> None:
    known = Span(START, START, START + QUIET_AFTER, incident_id=7)

    [span] = follow(known, [Run("a", START - HOUR, False)])

    assert span.closed_at == START


@given(st.text(alphabet="fs.", max_size=120))
def test_histories_agree_with_the_rule_read_hour_by_hour(outcomes: str) -> None:
    expected: list[tuple[int, int | None, int]] = []
    opened: int | None = None
    failed, last = 0, 0
    for hour, letter in enumerate(outcomes):
        if opened is not None and letter != "." and hour - last >= 24:
            expected.append((opened, last + 24, failed))
            opened = None
        if letter == "s" and opened is not None:
            expected.append((opened, hour, failed))
            opened = None
        if letter == "f":
            if opened is None:
                opened, failed = hour, 0
            failed, last = failed + 1, hour
    if opened is not None:
        expected.append((opened, None, failed))

    assert spans(outcomes) == expected


@given(st.text(alphabet="fs.", max_size=60), st.integers(0, 60))
def test_it_does_not_matter_where_a_history_is_cut(outcomes: str, cut: int) -> None:
    history = runs(outcomes)
    first = follow(None, history[:cut])
    still_open = first[-1] if first and first[-1].closed_at is None else None
    rest = follow(still_open, history[cut:])

    assert first[: len(first) - (still_open is not None)] + rest == follow(None, history)
