"""Escalation: tables, and random histories against an oracle that looks every minute."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskbadger.domain.escalation import (
    Decision,
    IncidentState,
    NoticeState,
    Rules,
    Tell,
    decide,
    pause,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STEPS = Rules(steps=[15 * MINUTE, 30 * MINUTE])
TOLD = NoticeState(told_at=START, last_told_at=START, steps_from=START)
OPEN = IncidentState()


def at(minute: int) -> datetime:
    return START + minute * MINUTE


@dataclass
class World:
    """An incident and its notice, minute by minute, as the sweep sees them."""

    rules: Rules
    wait: int = 0
    now: int = 0
    incident: IncidentState = OPEN
    notice: NoticeState = field(default_factory=NoticeState)
    next_at: datetime | None = START
    windows: Sequence[tuple[int, int]] = ()
    is_on: bool = True
    told: list[tuple[int, Tell]] = field(default_factory=list)

    def run(self, until: int) -> None:
        while self.now < until:
            self.sweep()
            self.now += 1

    def sweep(self) -> None:
        if self.next_at is None or self.next_at > at(self.now):
            return
        if not self.is_on:
            if self.notice.told_at is not None:
                now = at(self.now)
                self.notice = pause(self.notice, self.incident, now, since=now)
            self.next_at = at(self.now + 1)
            return
        decision = self.decide()
        self.notice, self.next_at = decision.notice, decision.next_at
        self.told += [(self.now, tell) for tell in decision.tells]

    def decide(self) -> Decision:
        held = [span for span in self.windows if span[0] <= self.now < span[1]]
        return decide(
            self.notice,
            self.incident,
            self.rules,
            now=at(self.now),
            has_news=True,
            wait_until=at(self.wait),
            held_since=at(held[0][0]) if held else None,
            held_until=at(held[0][1]) if held else None,
        )

    def wake(self) -> None:
        self.next_at = at(self.now)

    def acknowledge(self) -> None:
        self.incident = replace(self.incident, is_acknowledged=True)
        self.wake()

    def turn(self, *, is_on: bool) -> None:
        """Turn who tells on or off."""
        if self.is_on != is_on and not self.notice.is_over:
            self.is_on = is_on
            self.change()

    def take_back(self) -> None:
        self.incident = replace(self.incident, is_acknowledged=False)
        self.wake()

    def snooze(self, until: int | None) -> None:
        self.incident = replace(
            self.incident,
            snoozed_at=at(self.now),
            snoozed_until=None if until is None else at(until),
        )
        self.wake()

    def add_kind(self) -> None:
        """As when the history is followed: a new kind ends a snooze until something changes."""
        if self.incident.snoozed_at is not None and self.incident.snoozed_until is None:
            self.incident = replace(self.incident, snoozed_at=None)
        self.notice = replace(self.notice, news_at=self.notice.news_at or at(self.now))
        self.change()

    def close(self) -> None:
        self.incident = replace(self.incident, closed_at=at(self.now))
        self.change()

    def change(self) -> None:
        """A first message goes on waiting for its time."""
        if self.notice.told_at is not None or self.next_at is None:
            self.wake()


def test_first_message_and_recovery() -> None:
    world = World(Rules())
    world.run(5)
    world.close()
    world.run(10)

    assert world.told == [(0, Tell.FAILING), (5, Tell.RECOVERED)]
    assert world.next_at is None


def test_first_message_waits() -> None:
    world = World(Rules(), wait=3)
    world.run(10)

    assert world.told == [(3, Tell.FAILING)]


def test_incident_that_recovers_while_its_message_waits_is_told_all_the_same() -> None:
    world = World(Rules(), wait=3)
    world.run(1)
    world.close()
    world.run(10)

    assert world.told == [(3, Tell.FAILING), (3, Tell.RECOVERED)]


def test_steps_are_told_until_someone_acknowledges() -> None:
    world = World(STEPS)
    world.run(20)
    world.acknowledge()
    world.run(90)

    assert world.told == [(0, Tell.FAILING), (15, Tell.ESCALATION)]
    assert world.next_at is None


def test_steps_that_an_outage_has_delayed_are_all_told_once() -> None:
    decision = decide(TOLD, OPEN, STEPS, now=at(300))

    assert decision == Decision(replace(TOLD, steps=2), None, [Tell.ESCALATION, Tell.ESCALATION])


def test_steps_stand_still_while_acknowledged_though_a_snooze_ends_meanwhile() -> None:
    world = World(STEPS)
    world.run(10)
    world.acknowledge()
    world.run(15)
    world.snooze(25)
    world.run(70)
    world.take_back()
    world.run(100)

    assert world.told == [
        (0, Tell.FAILING),
        (70, Tell.REMINDER),
        (75, Tell.ESCALATION),
        (90, Tell.ESCALATION),
    ]


def test_reminders_are_counted_from_the_last_message() -> None:
    world = World(Rules(remind_after=10 * MINUTE))
    world.run(15)
    world.add_kind()
    world.run(36)

    assert world.told == [
        (0, Tell.FAILING),
        (10, Tell.REMINDER),
        (15, Tell.NEW_FAILURE),
        (25, Tell.REMINDER),
        (35, Tell.REMINDER),
    ]


def test_snooze_until_a_time_ends_with_a_reminder_and_steps_go_on_where_they_stopped() -> None:
    world = World(STEPS)
    world.run(5)
    world.snooze(60)
    world.run(90)

    assert world.told == [
        (0, Tell.FAILING),
        (60, Tell.REMINDER),
        (70, Tell.ESCALATION),
        (85, Tell.ESCALATION),
    ]


def test_snooze_until_a_change_ends_with_a_new_kind() -> None:
    world = World(STEPS)
    world.run(5)
    world.snooze(None)
    world.run(60)
    world.add_kind()
    world.run(75)

    assert world.told == [(0, Tell.FAILING), (60, Tell.NEW_FAILURE), (70, Tell.ESCALATION)]


def test_recovery_ends_a_snooze() -> None:
    world = World(STEPS)
    world.run(5)
    world.snooze(None)
    world.run(60)
    world.close()
    world.run(70)

    assert world.told == [(0, Tell.FAILING), (60, Tell.RECOVERED)]


def test_what_begins_in_a_window_and_still_fails_at_its_end_is_told_then() -> None:
    world = World(Rules(), windows=[(0, 30)])
    world.run(40)

    assert world.told == [(30, Tell.FAILING)]


def test_what_begins_and_recovers_in_a_window_is_never_told() -> None:
    world = World(Rules(), windows=[(0, 30)])
    world.run(10)
    world.close()
    world.run(30)

    assert world.decide().is_dropped
    world.run(40)
    assert world.told == []


def test_recovery_in_a_window_is_told_at_its_end_to_those_who_knew() -> None:
    world = World(Rules(), windows=[(10, 30)])
    world.run(20)
    world.close()
    world.run(40)

    assert world.told == [(0, Tell.FAILING), (30, Tell.RECOVERED)]


def test_steps_stand_still_in_a_window() -> None:
    world = World(STEPS, windows=[(5, 65)])
    world.run(5)
    world.wake()
    world.run(100)

    assert world.told == [(0, Tell.FAILING), (75, Tell.ESCALATION), (90, Tell.ESCALATION)]


def test_steps_stand_still_from_the_beginning_of_a_window_that_is_noticed_later() -> None:
    world = World(STEPS, windows=[(5, 65)])
    world.run(100)  # It is looked at when the first step would be due.

    assert world.told == [(0, Tell.FAILING), (75, Tell.ESCALATION), (90, Tell.ESCALATION)]


def test_window_that_outlasts_a_snooze_ends_with_one_reminder() -> None:
    world = World(STEPS, windows=[(20, 65)])
    world.run(5)
    world.snooze(40)
    world.run(100)

    assert world.told == [
        (0, Tell.FAILING),
        (65, Tell.REMINDER),
        (75, Tell.ESCALATION),
        (90, Tell.ESCALATION),
    ]


def test_snooze_that_outlasts_a_window_ends_with_one_reminder() -> None:
    world = World(STEPS, windows=[(5, 40)])
    world.run(5)
    world.wake()
    world.run(20)
    world.snooze(65)
    world.run(100)

    assert world.told == [
        (0, Tell.FAILING),
        (65, Tell.REMINDER),
        (75, Tell.ESCALATION),
        (90, Tell.ESCALATION),
    ]


@pytest.mark.parametrize(("window", "snooze"), [((20, 65), 40), ((20, 40), 65)])
def test_recovery_in_a_window_beside_a_snooze_is_told_once(
    window: tuple[int, int], snooze: int
) -> None:
    world = World(STEPS, windows=[window])
    world.run(5)
    world.snooze(snooze)
    world.run(30)
    world.wake()
    world.close()
    world.run(100)

    assert world.told == [(0, Tell.FAILING), (window[1], Tell.RECOVERED)]


@pytest.mark.parametrize(("window", "snooze"), [((0, 65), 40), ((0, 40), 65)])
def test_what_begins_in_a_window_and_is_snoozed_there_is_told_once_when_both_are_over(
    window: tuple[int, int], snooze: int
) -> None:
    world = World(STEPS, windows=[window])
    world.run(10)
    world.snooze(snooze)
    world.run(75)

    assert world.told == [(65, Tell.FAILING)]


def test_acknowledging_keeps_new_kinds_and_the_recovery() -> None:
    world = World(STEPS)
    world.run(5)
    world.acknowledge()
    world.run(40)
    world.add_kind()
    world.run(50)
    world.close()
    world.run(60)

    assert world.told == [
        (0, Tell.FAILING),
        (40, Tell.NEW_FAILURE),
        (50, Tell.RECOVERED),
    ]


OPERATIONS = st.lists(
    st.tuples(
        st.integers(0, 25),
        st.one_of(
            st.just(("ack", 0)),
            st.just(("snooze", 0)),
            st.tuples(st.just("snooze"), st.integers(1, 40)),
            st.just(("news", 0)),
            st.sampled_from([("turn", 0), ("turn", 1)]),
            st.just(("close", 0)),
        ),
    ),
    max_size=6,
)


@given(
    operations=OPERATIONS,
    remind=st.integers(0, 20),
    steps=st.lists(st.integers(1, 30), max_size=3, unique=True).map(sorted),
    wait=st.integers(0, 10),
)
@example(
    operations=[(5, ("snooze", 35)), (5, ("turn", 0)), (50, ("turn", 1))],
    remind=0,
    steps=[15],
    wait=0,
)
def test_histories_agree_with_an_oracle(
    operations: list[tuple[int, tuple[str, int]]],
    remind: int,
    steps: list[int],
    wait: int,
) -> None:
    rules = Rules(remind * MINUTE, [step * MINUTE for step in steps])
    world, oracle = World(rules, wait=wait), Oracle(remind, steps, wait)
    for gap, (name, value) in operations:
        world.run(world.now + gap)
        oracle.run(world.now)
        if world.incident.closed_at is not None:
            break
        until = None if value == 0 else world.now + value
        if name == "ack":
            world.acknowledge()
            oracle.acknowledged = True
        elif name == "snooze":
            world.snooze(until)
            oracle.snooze = (world.now, 10**6 if until is None else until)
        elif name == "turn":
            world.turn(is_on=bool(value))
            oracle.is_on = bool(value)
        elif name == "news":
            world.add_kind()
            oracle.add_kind()
        else:
            world.close()
            oracle.closed = True
    world.run(world.now + 50)
    oracle.run(world.now)
    world.turn(is_on=True)
    oracle.is_on = True
    world.run(world.now + 100)
    oracle.run(world.now)

    assert world.told == oracle.told


class Oracle:
    """Looks every minute, counts minutes, and knows no times in advance."""

    def __init__(self, remind: int, steps: list[int], wait: int) -> None:
        self.remind, self.steps, self.wait = remind, list(steps), wait
        self.now = 0
        self.acknowledged = self.closed = self.done = self.was_told = self.owes_end = False
        self.is_on = True
        self.snooze = (0, 0)
        self.has_snoozed = False
        self.news = self.since_told = self.counted = 0
        self.told: list[tuple[int, Tell]] = []

    def add_kind(self) -> None:
        self.news += 1
        if self.snooze[1] == 10**6:
            self.snooze = (0, 0)
            self.owes_end = False

    def run(self, until: int) -> None:
        while self.now < until:
            self.look()
            self.counted += self.is_on and not self.is_snoozed()
            self.now += 1
            self.since_told += 1

    def is_snoozed(self) -> bool:
        return self.snooze[0] <= self.now < self.snooze[1]

    def tell(self, what: Tell) -> None:
        self.told.append((self.now, what))

    def look(self) -> None:
        if self.done:
            return
        if self.snooze[1]:
            self.has_snoozed = True
        if not self.is_on:
            if self.was_told and self.is_snoozed():
                self.owes_end = self.snooze[1] != 10**6
        elif not self.was_told:
            self.look_first()
        elif self.closed:
            self.tell(Tell.RECOVERED)
            self.done = True
        elif self.is_snoozed():
            self.owes_end = self.snooze[1] != 10**6
        else:
            self.look_open()

    def look_first(self) -> None:
        if self.closed and self.snooze[1]:
            self.done = True
            return
        if self.now < self.wait or self.is_snoozed():
            return
        self.tell(Tell.FAILING)
        if self.news:
            self.tell(Tell.NEW_FAILURE)
        self.was_told, self.since_told, self.counted, self.news = True, 0, 0, 0
        if self.closed:
            self.tell(Tell.RECOVERED)
            self.done = True

    def look_open(self) -> None:
        news, self.news = self.news, 0
        owes_end, self.owes_end = self.owes_end, False
        if news:
            self.tell(Tell.NEW_FAILURE)
            self.since_told = 0
        if self.acknowledged:
            return
        if not news and (owes_end or (self.remind and self.since_told >= self.remind)):
            self.tell(Tell.REMINDER)
            self.since_told = 0
        while self.steps and self.counted >= self.steps[0]:
            self.steps.pop(0)
            self.tell(Tell.ESCALATION)
