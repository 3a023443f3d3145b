"""Quiet periods."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain.quiet import Quiet, schedule_message

NOW = datetime(2026, 5, 4, tzinfo=UTC)
PERIOD = timedelta(minutes=10)


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def test_first_firing_is_sent_at_once_and_begins_a_period() -> None:
    decision = schedule_message(Quiet(), PERIOD, now=NOW)

    assert (decision.send_at, decision.held_back) == (NOW, False)
    assert decision.quiet == Quiet(at(10))


def test_firing_in_the_period_is_sent_when_it_ends() -> None:
    decision = schedule_message(Quiet(at(10), 2), PERIOD, now=at(4))

    assert (decision.send_at, decision.held_back) == (at(10), True)
    assert decision.quiet == Quiet(at(10), 3)


def test_firing_after_a_period_that_held_nothing_back_is_sent_at_once() -> None:
    assert schedule_message(Quiet(at(10)), PERIOD, now=at(10)).send_at == at(10)


def test_message_at_the_end_of_a_period_begins_another() -> None:
    decision = schedule_message(Quiet(at(10), 1), PERIOD, now=at(12))

    assert (decision.send_at, decision.quiet) == (at(20), Quiet(at(20), 1))


def test_period_that_was_made_shorter_holds_at_once() -> None:
    decision = schedule_message(Quiet(at(1000)), PERIOD, now=NOW)

    assert (decision.send_at, decision.held_back) == (at(10), True)


@given(st.lists(st.integers(0, 3600), min_size=1, max_size=40))
def test_messages_are_never_closer_than_the_period_and_count_every_firing(
    moments: list[int],
) -> None:
    quiet = Quiet()
    sent: dict[datetime, int] = {}
    for second in sorted(moments):
        now = NOW + timedelta(seconds=second)
        decision = schedule_message(quiet, PERIOD, now=now)
        quiet = decision.quiet
        sent[decision.send_at] = sent.get(decision.send_at, 0) + 1
        assert now <= decision.send_at <= now + PERIOD

    times = sorted(sent)
    assert sum(sent.values()) == len(moments)
    assert all(later - earlier >= PERIOD for earlier, later in itertools.pairwise(times))
