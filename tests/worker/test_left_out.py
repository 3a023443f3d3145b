"""What sweeps leave out for a while."""

import pytest

from taskbadger.worker import left_out
from taskbadger.worker.left_out import LeftOut


def test_task_is_left_out_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(left_out.time, "monotonic", lambda: now[0])
    tasks = LeftOut[str]()
    tasks.add("a")
    now[0] += 30
    tasks.add("b")

    found = [tasks.ids()]
    for seconds in (29.9, 0.1, 30.0):
        now[0] += seconds
        found.append(tasks.ids())

    assert found == [["a", "b"], ["a", "b"], ["b"], []]


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_out, "MAX_IDS", 2)
    tasks = LeftOut[str]()
    for task_id in "abc":
        tasks.add(task_id)

    assert tasks.ids() == ["a", "b"]
