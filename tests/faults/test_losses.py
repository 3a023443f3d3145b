"""The checks of the trials with kills find each kind of loss."""

from collections.abc import Iterable
from typing import TypeVar

from faults.losses import Losses, find_losses
from faults.writers import Stage, Task

TASKS = [
    Task("created", Stage.CREATED, Stage.ADVANCED),
    Task("advanced", Stage.ADVANCED, Stage.ADVANCED),
    Task("ended", Stage.ENDED, Stage.ENDED),
    Task("", Stage.NONE, Stage.CREATED),
]
LISTED = {"created": Stage.CREATED, "advanced": Stage.ADVANCED, "ended": Stage.ENDED}
ARRIVED: dict[tuple[str, str], Iterable[str]] = {
    ("advanced", "50"): ["a"],
    ("ended", "50"): ["b", "b"],
    ("ended", "success"): ["c"],
}
NOTHING = Losses(lost=[], unknown=set(), missing=set(), unexpected=set(), torn=set())


Key = TypeVar("Key")
Value = TypeVar("Value")


def without(values: dict[Key, Value], key: Key) -> dict[Key, Value]:
    return {other: value for other, value in values.items() if other != key}


def test_nothing_is_lost_if_all_is_there() -> None:
    assert find_losses(TASKS, LISTED, ARRIVED) == NOTHING


def test_what_was_in_doubt_may_have_happened() -> None:
    listed = LISTED | {"created": Stage.ADVANCED}
    arrived = ARRIVED | {("created", "50"): ["d"]}

    assert find_losses(TASKS, listed, arrived) == NOTHING


def test_task_that_is_not_there_is_lost() -> None:
    losses = find_losses(TASKS, without(LISTED, "created"), ARRIVED)

    assert losses == Losses(TASKS[:1], set(), set(), set(), set())


def test_acknowledged_change_that_is_not_there_is_lost() -> None:
    losses = find_losses(TASKS, LISTED | {"ended": Stage.ADVANCED}, ARRIVED)

    assert losses == Losses([TASKS[2]], set(), set(), set(), set())


def test_task_or_change_that_nobody_asked_for_is_unknown() -> None:
    losses = find_losses(
        TASKS, LISTED | {"second": Stage.CREATED, "advanced": Stage.ENDED}, ARRIVED
    )

    assert losses == Losses([], {"second", "advanced"}, set(), set(), set())


def test_notification_that_has_not_arrived_is_missing() -> None:
    losses = find_losses(TASKS, LISTED, without(ARRIVED, ("ended", "50")))

    assert losses == Losses([], set(), {("ended", "50")}, set(), set())


def test_notification_without_a_write_is_unexpected() -> None:
    losses = find_losses(TASKS, LISTED, ARRIVED | {("advanced", "success"): ["e"]})

    assert losses == Losses([], set(), set(), {("advanced", "success")}, set())


def test_notification_under_two_ids_is_torn() -> None:
    losses = find_losses(TASKS, LISTED, ARRIVED | {("ended", "success"): ["c", "f"]})

    assert losses == Losses([], set(), set(), set(), {("ended", "success")})
