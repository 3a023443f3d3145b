"""Telling: what becomes of one notice that is due."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta

from taskbadger.domain import rates
from taskbadger.domain.escalation import (
    Decision,
    IncidentState,
    NoticeState,
    Rules,
    Tell,
    decide,
    pause,
)
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.models.incident_rows import NoticeRow, ToldIncidentRow
from taskbadger.services.delivery import held_incidents, incident_keys, windows
from taskbadger.services.delivery.outbox import Outgoing
from taskbadger.services.delivery.windows import Covering
from taskbadger.services.incidents import evidence, messages, timeline
from taskbadger.services.incidents.evidence import Failed
from taskbadger.services.incidents.messages import Context
from taskbadger.services.incidents.tellers import Teller

_AGAIN = timedelta(minutes=1)
"""When to look again at what nothing wakes, such as a global action that is turned off."""
_SOON = timedelta(seconds=1)
"""When to look again at what is not settled yet."""
_GIVE_UP_AFTER = timedelta(days=1)
"""How long the recovery waits for a global action to be turned on again."""
_EVENTS = {
    Tell.FAILING: "told",
    Tell.NEW_FAILURE: "told",
    Tell.RECOVERED: "told",
    Tell.REMINDER: "reminded",
    Tell.ESCALATION: "escalated",
}


@dataclass(slots=True)
class Written:
    """What is to be written of several notices."""

    outgoing: list[Outgoing] = field(default_factory=list)
    events: list[timeline.Entry] = field(default_factory=list)
    changes: list[dict[str, object]] = field(default_factory=list)
    ended_snoozes: list[int] = field(default_factory=list)
    """Incidents that were snoozed until something changes."""
    quiet_until: dict[int, datetime] = field(default_factory=dict)
    """When the quiet periods of global actions end that have told something."""


@dataclass(frozen=True, slots=True)
class _Hold:
    """What holds all messages of a notice back."""

    until: datetime
    reason: str
    since: datetime | None = None
    """When it began, if that is known."""


class Telling:
    """One notice that is due."""

    def __init__(
        self,
        notice: NoticeRow,
        incident: ToldIncidentRow,
        teller: Teller | None,
        context: Context,
        written: Written,
    ) -> None:
        self.notice, self.incident, self.context, self.written = notice, incident, context, written
        self.now = context.now
        self.targets: list[NotificationTarget] = json.loads(notice.targets)
        self.told_kinds: list[int] = json.loads(notice.told_kinds)
        self.first: Failed | None = None
        """What a first message is about."""
        self.news: list[Failed] = []
        self._later_news_at: datetime | None = None
        self._look_again_at: datetime | None = None
        self._teller = teller
        self._incident_state = IncidentState(
            incident.closed_at,
            incident.acknowledged_at is not None,
            incident.snoozed_at,
            incident.snoozed_until,
        )

    @property
    def teller(self) -> Teller:
        """Who tells; not to be asked if it is gone."""
        assert self._teller is not None  # noqa: S101 - for the type checker
        return self._teller

    def tell(self) -> None:
        """Decide, and collect what is to be written."""
        state = _state_of(self.notice)
        if self._teller is None or not self.teller.is_on:
            if state.told_at is not None:
                state = pause(state, self._incident_state, self.now, since=self.now)
            self._change(state, self._again(), self.notice.messages)
            return
        if self.notice.told_at is None and not self._find_first():
            self._change(state, self._look_again_at, self.notice.messages)
            return
        hold = self._find_hold()
        decision = self._decide(state, hold)
        number, steps = self.notice.messages, self.notice.steps
        for tell in decision.tells:
            self._queue(tell, number, steps)
            number += 1
            steps += tell is Tell.ESCALATION
        if decision.is_dropped:
            self._note("dropped", "It recovered before anyone was told.")
        elif hold and decision.notice.held and not self.notice.held:
            self._note("held", hold.reason)
        after, next_at = self._with_later_news(decision)
        if hold and next_at is not None:
            # What holds it back may end early.
            next_at = min(next_at, self.now + _AGAIN)
        self._change(after, next_at, number)

    def _again(self) -> datetime | None:
        """Return when to look whether who tells was turned on again."""
        closed_at = self.incident.closed_at
        if self._teller is None or self.notice.is_over:
            return None
        is_given_up = closed_at is not None and closed_at < self.now - _GIVE_UP_AFTER
        return None if is_given_up else self.now + _AGAIN

    def _find_first(self) -> bool:
        """Find what a first message is about; say whether there is enough to tell."""
        causes, number = self.teller.causes, self.incident.id
        self.first = evidence.first(number, causes, now=self.now)
        if self.first is None:
            return False
        if self.teller.at_least is None or self.teller.within is None:
            return True
        if self._is_rate_reached(self._settled_until()):
            return True
        if self._is_rate_reached(self.now):
            self._look_again_at = self.now + _SOON  # Some of them may be tried again.
        return False

    def _is_rate_reached(self, until: datetime) -> bool:
        times = evidence.times(self.incident.id, self.teller.causes, until=until, now=self.now)
        return rates.was_reached(
            times,
            at_least=self.teller.at_least or 1,
            within=timedelta(seconds=self.teller.within or 0),
        )

    def _settled_until(self) -> datetime:
        """Return until when failures had the time to be tried again."""
        wait = timedelta(seconds=self.teller.wait_for_retry)
        return min(self.now, self.context.followed_until) - wait

    def _find_hold(self) -> _Hold | None:
        """Return what holds messages back now; of several, the one that ends last."""
        holds = [*self._holds()]
        return max(holds, key=lambda hold: hold.until, default=None)

    def _holds(self) -> Sequence[_Hold]:
        found = []
        incident, teller = self.incident, self.teller
        covering = self._covering_window()
        if covering is not None:
            span = covering.span
            found.append(_Hold(span.end, f"held by {covering.name}", span.start))
        if teller.muted_until is not None:
            found.append(_Hold(teller.muted_until, "The monitor is muted."))
        if self.notice.told_at is None and teller.quiet_period:
            told_now = self.written.quiet_until.get(teller.global_action_id or 0)
            until = told_now or teller.quiet_until
            if until is not None:
                # After a clock was set back, or the period shortened, never wait longer.
                until = min(until, self.now + timedelta(seconds=teller.quiet_period))
                found.append(_Hold(until, f"The quiet period of {teller.name} has not ended."))
        is_open = incident.closed_at is None and incident.monitor_id is None
        if is_open and incident.runs <= 0:
            found.append(_Hold(self.now + _AGAIN, "All its runs were tried again."))
        elif is_open and evidence.are_all_ignored(incident.id, now=self.now):
            found.append(_Hold(self.now + _AGAIN, "All its failures are ignored."))
        return found

    def _covering_window(self) -> Covering | None:
        """Return the maintenance window that covers the incident now."""
        incident = self.incident
        organization_id = self.context.projects[incident.project_id].organization_id
        active = [
            window for window in self.context.windows if window.organization_id == organization_id
        ]
        if not active:
            return None
        return windows.first_covering(
            active,
            project_id=incident.project_id,
            name=incident.name,
            # The window of a monitor covers its tasks, too.
            monitor_id=incident.monitor_id or held_incidents.monitor_of(incident.id, active),
            now=self.now,
        )

    def _decide(self, state: NoticeState, hold: _Hold | None) -> Decision:
        incident, teller = self.incident, self.teller
        if self.notice.news_at is not None and self.notice.news_at <= self.now:
            self._find_news()
        if self.news and incident.id in self.context.unsnoozable and not hold:
            self._incident_state = replace(self._incident_state, snoozed_at=None)
            self.written.ended_snoozes.append(incident.id)
            self._note("snooze_ended", "")
        return decide(
            state,
            self._incident_state,
            Rules(
                timedelta(seconds=teller.remind_after),
                [timedelta(seconds=step["after"]) for step in teller.escalation],
            ),
            now=self.now,
            has_news=bool(self.news),
            wait_until=self._wait_until(),
            held_since=hold.since if hold else None,
            held_until=hold.until if hold else None,
        )

    def _find_news(self) -> None:
        told = [*self.told_kinds, *([self.first.kind_id] if self.first else [])]
        found = evidence.new_kinds(
            self.incident.id,
            self.teller.causes,
            told,
            since=self.notice.last_told_at,
            now=self.now,
        )
        until = self._settled_until()
        self.news = [each for each in found if each.failed_at <= until]
        later = [each.failed_at for each in found if each.failed_at > until]
        if later:
            due = min(later) + timedelta(seconds=self.teller.wait_for_retry)
            self._later_news_at = max(due, self.now + _SOON)

    def _with_later_news(self, decision: Decision) -> tuple[NoticeState, datetime | None]:
        """Return the notice with the time of news that may still be tried again."""
        after, next_at, news_at = decision.notice, decision.next_at, self._later_news_at
        if news_at is None or after.is_over:
            return after, next_at
        if after.told_at is not None:
            next_at = news_at if next_at is None else min(next_at, news_at)
        return replace(after, news_at=news_at), next_at

    def _wait_until(self) -> datetime | None:
        """Return before when the first message must not be sent; None for no such time."""
        if self.first is None or not self.teller.wait_for_retry:
            return None
        due = self.first.failed_at + timedelta(seconds=self.teller.wait_for_retry)
        if due > self.context.followed_until:
            # Perhaps a retry is among what is not followed yet.
            return max(due, self.now + timedelta(seconds=1))
        return due

    def _targets_of(self, tell: Tell, steps: int) -> list[NotificationTarget]:
        """Return whom to tell; *steps* are those of the escalation that were told already."""
        teller = self.teller
        if tell is Tell.ESCALATION:
            return list(teller.escalation[steps]["channels"])
        if tell is not Tell.RECOVERED:
            return list(teller.channels)
        # Of a monitor, those of its own channels get the notice that it recovered.
        return [each for each in self.targets if not teller.monitor or each not in teller.channels]

    def _queue(self, tell: Tell, number: int, steps: int) -> None:
        incident, teller = self.incident, self.teller
        after = teller.escalation[steps]["after"] if tell is Tell.ESCALATION else None
        task_id = self._task_of(tell)
        message = messages.message(
            tell,
            incident,
            teller,
            self.context,
            task_id=task_id,
            unacknowledged_for=after,
        )
        targets = self._targets_of(tell, steps)
        self.written.outgoing += [
            Outgoing(
                messages.with_target(message, teller, target),
                incident.organization_id,
                target["integration"],
                target["config"],
                incident_keys.of_notice(incident.id, self.notice.id, number, place),
            )
            for place, target in enumerate(targets)
        ]
        self.targets += [each for each in targets if each not in self.targets]
        if targets:
            names = ", ".join(target["integration"] for target in targets)
            self._note(_EVENTS[tell], f"{message.title} ({teller.name}: {names})", task_id)
        self._remember(tell)

    def _task_of(self, tell: Tell) -> str | None:
        """Return the failed task that a message shows."""
        if tell is Tell.RECOVERED:
            return None
        if tell is Tell.NEW_FAILURE:
            return self.news[-1].task_id
        return self.first.task_id if self.first else self.notice.task_id

    def _remember(self, tell: Tell) -> None:
        if tell is Tell.NEW_FAILURE:
            self.told_kinds += [each.kind_id for each in self.news]
        if tell is Tell.FAILING:
            self.told_kinds += [self.first.kind_id] if self.first else []
            if self.teller.quiet_period:
                until = self.now + timedelta(seconds=self.teller.quiet_period)
                self.written.quiet_until[self.teller.global_action_id or 0] = until

    def _note(self, kind: str, detail: str, task_id: str | None = None) -> None:
        found = timeline.entry(self.incident.id, self.now, kind, detail, task_id)
        self.written.events.append(found)

    def _change(self, state: NoticeState, next_at: datetime | None, number: int) -> None:
        self.written.changes.append(
            {
                "notice": self.notice.id,
                "task_id": self.first.task_id if self.first else self.notice.task_id,
                "messages": number,
                "targets": json.dumps(self.targets),
                "told_kinds": json.dumps(sorted(set(self.told_kinds))),
                "next_at": next_at,
                **asdict(state),
            }
        )


def _state_of(notice: NoticeRow) -> NoticeState:
    return NoticeState(
        notice.told_at,
        notice.last_told_at,
        notice.steps,
        notice.steps_from,
        notice.paused_at,
        notice.held,
        notice.news_at,
        notice.is_over,
    )
