"""Escalation: what one global action, or a monitor, tells about an incident, and when.

`decide` is called when something may be due or has changed. It says what to tell now, and when to
call it again. The caller writes both in one transaction, so nothing is told twice; an outage only
makes it late.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Tell(StrEnum):
    """What a message says."""

    FAILING = "failing"
    NEW_FAILURE = "new_failure"
    REMINDER = "reminder"
    ESCALATION = "escalation"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class Rules:
    """What is set on the global action or the monitor."""

    remind_after: timedelta = timedelta()
    """Zero for never."""
    steps: Sequence[timedelta] = ()
    """When each step of the escalation is due, ascending, counted from the first message."""


@dataclass(frozen=True, slots=True)
class IncidentState:
    """What matters of an incident."""

    closed_at: datetime | None = None
    is_acknowledged: bool = False
    snoozed_at: datetime | None = None
    snoozed_until: datetime | None = None
    """None, if it is snoozed: until something changes."""

    def is_snoozed(self, now: datetime) -> bool:
        """Say whether it is snoozed at *now*."""
        return self.snoozed_at is not None and (
            self.snoozed_until is None or self.snoozed_until > now
        )


@dataclass(frozen=True, slots=True)
class NoticeState:
    """What was told so far; `models.IncidentNotice` describes the fields."""

    told_at: datetime | None = None
    last_told_at: datetime | None = None
    steps: int = 0
    steps_from: datetime | None = None
    paused_at: datetime | None = None
    held: bool = False
    news_at: datetime | None = None
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to tell now, and the state of the notice afterwards."""

    notice: NoticeState
    next_at: datetime | None
    """When to decide again; None for not before something changes."""
    tells: Sequence[Tell] = ()
    """In this order. Each ESCALATION is the next step."""
    is_dropped: bool = False
    """Whether the first message will never be sent: it recovered before it could be."""


def decide(
    notice: NoticeState,
    incident: IncidentState,
    rules: Rules,
    *,
    now: datetime,
    has_news: bool = False,
    wait_until: datetime | None = None,
    held_since: datetime | None = None,
    held_until: datetime | None = None,
) -> Decision:
    """Return what to tell at *now*, and when to decide again.

    *has_news* says whether a kind of failure is new that was not told yet. *wait_until* is before
    when the first message must not be sent. *held_until* is the end of what holds all messages
    back now, such as a maintenance window; None for nothing. *held_since* is when that began, if it
    is known: the steps stand still from there on.
    """
    if notice.is_over:
        return Decision(notice, None)
    if held_until is not None and held_until > now:
        if notice.told_at is None:
            return Decision(replace(notice, held=True), held_until)
        since = max(held_since or now, notice.steps_from or now)
        return Decision(pause(notice, incident, now, since=since), held_until)
    if notice.told_at is None:
        return _decide_first(notice, incident, rules, now, wait_until, has_news=has_news)
    if incident.closed_at is not None:
        return Decision(replace(notice, news_at=None, is_over=True), None, [Tell.RECOVERED])
    return _decide_open(notice, incident, rules, now, has_news=has_news)


def pause(
    notice: NoticeState, incident: IncidentState, now: datetime, *, since: datetime
) -> NoticeState:
    """Return the notice with its steps standing still, from *since* on if they did not before.

    To be called again while the pause goes on: a snooze in which it began may end meanwhile.
    """
    ended = incident.snoozed_until
    if notice.paused_at is not None and ended is not None and notice.paused_at < ended <= now:
        return replace(_resumed(notice, incident, now), paused_at=ended)
    return replace(notice, paused_at=notice.paused_at or since)


def _decide_first(
    notice: NoticeState,
    incident: IncidentState,
    rules: Rules,
    now: datetime,
    wait_until: datetime | None,
    *,
    has_news: bool,
) -> Decision:
    was_silenced = notice.held or incident.snoozed_at is not None
    if was_silenced and incident.closed_at is not None:
        return Decision(replace(notice, is_over=True), None, is_dropped=True)
    if wait_until is not None and wait_until > now:
        return Decision(notice, wait_until)
    if incident.is_snoozed(now):
        return Decision(notice, incident.snoozed_until)
    tells_news = _news_are_due(notice, now) and has_news
    told = replace(_without_due_news(notice, now), told_at=now, last_told_at=now, steps_from=now)
    tells = [Tell.FAILING, *([Tell.NEW_FAILURE] if tells_news else [])]
    if incident.closed_at is not None:
        return Decision(replace(told, is_over=True), None, [*tells, Tell.RECOVERED])
    return Decision(told, _next_at(told, incident, rules, now), tells)


def _news_are_due(notice: NoticeState, now: datetime) -> bool:
    return notice.news_at is not None and notice.news_at <= now


def _without_due_news(notice: NoticeState, now: datetime) -> NoticeState:
    return replace(notice, news_at=None) if _news_are_due(notice, now) else notice


def _decide_open(
    notice: NoticeState, incident: IncidentState, rules: Rules, now: datetime, *, has_news: bool
) -> Decision:
    if incident.is_snoozed(now):
        since = incident.snoozed_at or now
        return Decision(pause(notice, incident, now, since=since), incident.snoozed_until)
    tells = []
    snooze_is_over = (
        incident.snoozed_until is not None and (notice.last_told_at or now) < incident.snoozed_until
    )
    if not incident.is_acknowledged:
        notice = _resumed(notice, incident, now)
    if _news_are_due(notice, now):
        notice = replace(notice, news_at=None)
        if has_news:
            tells.append(Tell.NEW_FAILURE)
            notice = replace(notice, last_told_at=now)
    if incident.is_acknowledged:
        # Somebody may take it back.
        notice = pause(notice, incident, now, since=now)
    else:
        if not tells and (snooze_is_over or _reminder_is_due(notice, rules, now)):
            tells.append(Tell.REMINDER)
            notice = replace(notice, last_told_at=now)
        due = [step for step in _steps_at(notice, rules) if step <= now]
        tells += [Tell.ESCALATION] * len(due)
        notice = replace(notice, steps=notice.steps + len(due))
    return Decision(notice, _next_at(notice, incident, rules, now), tells)


def _resumed(notice: NoticeState, incident: IncidentState, now: datetime) -> NoticeState:
    """Return the notice after a pause: the steps are later by as long as it lasted."""
    if notice.paused_at is None or notice.steps_from is None:
        return notice
    ended = now
    if incident.snoozed_until is not None and incident.snoozed_until > notice.paused_at:
        ended = min(incident.snoozed_until, now)
    pause = max(ended - notice.paused_at, timedelta())
    return replace(notice, paused_at=None, steps_from=notice.steps_from + pause)


def _reminder_is_due(notice: NoticeState, rules: Rules, now: datetime) -> bool:
    at = _reminder_at(notice, rules)
    return at is not None and at <= now


def _reminder_at(notice: NoticeState, rules: Rules) -> datetime | None:
    if not rules.remind_after or notice.last_told_at is None:
        return None
    return notice.last_told_at + rules.remind_after


def _steps_at(notice: NoticeState, rules: Rules) -> list[datetime]:
    """Return when the steps that are left are due."""
    if notice.steps_from is None:
        return []
    return [notice.steps_from + after for after in rules.steps[notice.steps :]]


def _next_at(
    notice: NoticeState, incident: IncidentState, rules: Rules, now: datetime
) -> datetime | None:
    if incident.is_snoozed(now):
        return incident.snoozed_until
    times = [notice.news_at]
    if not incident.is_acknowledged:
        times += [*_steps_at(notice, rules)[:1], _reminder_at(notice, rules)]
    return min((time for time in times if time is not None), default=None)
