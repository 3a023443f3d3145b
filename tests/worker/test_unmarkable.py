"""Tasks that sweeps leave out for a while."""

import pytest

from taskbadger.worker import unmarkable
from taskbadger.worker.unmarkable import Unmarkable


def test_task_is_left_out_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(unmarkable.time, "monotonic", lambda: now[0])
    tasks = Unmarkable()
    tasks.add("a")
    now[0] += 30
    tasks.add("b")

    left_out = [tasks.ids()]
    for seconds in (29.9, 0.1, 30.0):
        now[0] += seconds
        left_out.append(tasks.ids())

    assert left_out == [["a", "b"], ["a", "b"], ["b"], []]


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmarkable, "MAX_TASKS", 2)
    tasks = Unmarkable()
    for task_id in "abc":
        tasks.add(task_id)

    assert tasks.ids() == ["a", "b"]
