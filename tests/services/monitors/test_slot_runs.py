"""The runs that the page of a monitor shows beside its slots."""

import pytest
from watching import Watch, at, slots_of

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.monitors import slot_runs
from taskbadger.services.monitors.slot_runs import ListedRun


def listed(watch: Watch) -> list[list[str]]:
    """Return the ids of the runs of each slot of a monitor, the oldest slot first."""
    slot_ids = [slot.id for slot in slots_of(watch.monitor)]
    found = slot_runs.list_runs_of_slots(slot_ids)
    return [[run.id for run in found.get(slot_id, [])] for slot_id in slot_ids]


def test_run_of_a_slot_is_listed_as_its_task_is(project: ProjectRef) -> None:
    watch = Watch(project)
    task_id = watch.run("11:40", name="import")
    watch.report(task_id, "11:45", "success")
    watch.run("12:00", "success")
    slot = slots_of(watch.monitor)[0]

    run = ListedRun(task_id, "import", "success", at("11:40"), at("11:40"), at("11:45"), slot.id)
    assert slot_runs.list_runs_of_slots([slot.id]) == {slot.id: [run]}


def test_expected_run_comes_first_and_then_the_latest_extra_ones(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_runs, "MAX_EXTRA", 2)
    watch, other = Watch(project), Watch(project)
    first = watch.run("11:40", "success")
    other.run("11:40", "success")
    _, third, fourth = [watch.run(f"11:4{minute}", "success") for minute in (1, 2, 3)]
    last = watch.run("12:00", "success")

    assert listed(watch) == [[first, fourth, third], [last], []]


def test_runs_without_a_slot_are_listed_newest_first(project: ProjectRef) -> None:
    watch, other = Watch(project), Watch(project)
    watch.run("11:40", "success")
    oldest = watch.run("11:41", "pending")
    watch.run("11:42", "success")
    newest = watch.run("11:43", "pending", name="import")
    other.run("11:44", "pending")

    def ids(count: int) -> list[str]:
        return [run.id for run in slot_runs.list_runs_without_slot(watch.monitor.id, count)]

    assert slot_runs.list_runs_without_slot(watch.monitor.id, 1) == [
        ListedRun(newest, "import", "pending", at("11:43"), None, None, None)
    ]
    assert [ids(2), ids(3), ids(4)] == [[newest], [newest, oldest], [newest, oldest]]
