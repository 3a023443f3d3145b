"""Dry run: which firings of a draft would have been told, by its mode, its wait and its rate."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from taskbadger.domain import incidents, rates
from taskbadger.domain.incidents import Run
from taskbadger.domain.rates import Rate
from taskbadger.domain.triggers import Reason

_FAILURES = frozenset({"error", "stale", "max_runtime_exceeded"})


@dataclass(frozen=True, slots=True)
class Draft:
    """What decides, beside the trigger, whether a firing is told."""

    tells_incidents: bool = False
    wait_for_retry: timedelta = timedelta()
    at_least: int | None = None
    within: timedelta = timedelta()


class Reached(NamedTuple):
    """A change that reached the trigger."""

    task_id: str
    name: tuple[str, str]
    """The project and the name of the task."""
    at: datetime
    reason: Reason


class Succeeded(NamedTuple):
    """A run that succeeded."""

    task_id: str
    name: tuple[str, str]
    at: datetime


@dataclass(slots=True)
class Observed:
    """What the history of some tasks has."""

    reached: list[Reached] = field(default_factory=list)
    succeeded: list[Succeeded] = field(default_factory=list)
    retried_at: dict[str, datetime] = field(default_factory=dict)
    """When the next attempt of a task was made, by its id."""
    quiet_after: dict[str, timedelta] = field(default_factory=dict)
    """After how long without a failure incidents close, by the project."""


class Outcome(NamedTuple):
    """What a draft would have told, and what it would not."""

    told: Sequence[Reached]
    """Of an incident, the one that opens it, or with which its rate is reached."""
    reached: int
    """How many changes reached the trigger."""
    retried: int
    """How many of them are not told, because the run was tried again in time."""
    below_rate: int
    """How many firings or incidents are not told, because of the rate."""


def evaluate(draft: Draft, observed: Observed) -> Outcome:
    """Return what a draft would have told."""
    reached = [
        each for each in observed.reached if not _is_retried(each, draft, observed.retried_at)
    ]
    retried = len(observed.reached) - len(reached)
    if draft.tells_incidents:
        told, silent = _first_of_incidents(draft, reached, observed)
    else:
        told = reached if draft.at_least is None else _at_rate(draft, _in_order(reached))
        silent = len(reached) - len(told)
    return Outcome(told, len(observed.reached), retried, silent)


def _is_retried(each: Reached, draft: Draft, retried_at: Mapping[str, datetime]) -> bool:
    again = retried_at.get(each.task_id)
    if again is None or each.reason.point not in _FAILURES:
        return False
    if draft.tells_incidents or draft.wait_for_retry:
        return again <= each.at + draft.wait_for_retry
    return False


def _in_order(reached: Iterable[Reached]) -> list[Reached]:
    return sorted(reached, key=lambda each: each.at)


def _at_rate(draft: Draft, reached: Sequence[Reached]) -> list[Reached]:
    rate, found = Rate(), []
    for each in reached:
        rate, speaks = rates.count(rate, each.at, at_least=draft.at_least or 1, within=draft.within)
        if speaks:
            found.append(each)
    return found


def _first_of_incidents(
    draft: Draft, reached: Iterable[Reached], observed: Observed
) -> tuple[list[Reached], int]:
    """Return the firing of each incident that is told, and how many incidents are not."""
    by_run = {(each.task_id, each.at): each for each in reached}
    runs: defaultdict[tuple[str, str], list[Run]] = defaultdict(list)
    for each in by_run.values():
        runs[each.name].append(Run(each.task_id, each.at, has_failed=True))
    for success in observed.succeeded:
        runs[success.name].append(Run(success.task_id, success.at, has_failed=False))
    found, silent = [], 0
    for (project, _), of_name in runs.items():
        in_order = sorted(of_name, key=lambda run: run.at)
        quiet_after = observed.quiet_after[project]
        for span in incidents.follow(None, in_order, quiet_after=quiet_after):
            failed = [by_run[run.task_id, run.at] for run in span.failed]
            told = failed[:1] if draft.at_least is None else _at_rate(draft, failed)[:1]
            found += told
            silent += not told
    return _in_order(found)[::-1], silent
