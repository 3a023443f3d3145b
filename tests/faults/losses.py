"""Finds losses: compares what writers know with the tasks and messages that there are."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from faults.writers import TRIGGERS, Stage, Task

Notification = tuple[str, str]
"""The id of a task, and the trigger point that was reached."""


@dataclass(frozen=True)
class Losses:
    """What is wrong after a trial; all empty if nothing is."""

    lost: list[Task]
    """Tasks that lack an acknowledged write."""
    unknown: set[str]
    """Tasks that nobody created, or with changes that nobody requested."""
    missing: set[Notification]
    """Messages that an acknowledged write caused, and that did not arrive."""
    unexpected: set[Notification]
    """Messages that arrived, and that no write had caused."""
    torn: set[Notification]
    """Messages that arrived under more than one id."""

    def counts(self) -> dict[str, int]:
        return {name: len(found) for name, found in vars(self).items()}


def find_losses(
    tasks: Collection[Task],
    listed: Mapping[str, Stage],
    arrived: Mapping[Notification, Iterable[str]],
) -> Losses:
    """Compare the *tasks* of writers with those *listed*, and with the ids that have *arrived*."""
    asked = {task.id: task.asked for task in tasks if task.id}
    due = _set_off((task.id, task.known) for task in tasks)
    return Losses(
        lost=[task for task in tasks if listed.get(task.id, Stage.NONE) < task.known],
        unknown={task for task, stage in listed.items() if stage > asked.get(task, Stage.NONE)},
        missing=due - set(arrived),
        unexpected=set(arrived) - _set_off(asked.items()),
        torn={notification for notification, found in arrived.items() if len(set(found)) > 1},
    )


def _set_off(stages: Iterable[tuple[str, Stage]]) -> set[Notification]:
    return {
        (task, trigger) for task, stage in stages for at, trigger in TRIGGERS.items() if stage >= at
    }
