"""What kills have done: compares what writers know with what is there and what has arrived."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from faults.writers import TRIGGERS, Stage, Task

Notification = tuple[str, str]
"""The id of a task, and the trigger point that was reached."""


@dataclass(frozen=True)
class Losses:
    """What is wrong after a trial; all empty if nothing is."""

    lost: list[Task]
    """Tasks that are not where an acknowledged write had brought them."""
    unknown: set[str]
    """Tasks that nobody created, or that are where nobody had brought them."""
    missing: set[Notification]
    """What an acknowledged write set off, and did not arrive."""
    unexpected: set[Notification]
    """What arrived though no write had set it off."""
    torn: set[Notification]
    """What arrived under more than one id."""

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
