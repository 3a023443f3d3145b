"""The worker's step for monitors, by the real clock."""

from watching import Watch, slots_of

from taskbadger.domain.identity import ProjectRef
from taskbadger.worker import sweeps


def test_step_closes_what_is_due_and_then_is_idle(project: ProjectRef) -> None:
    watch = Watch(project, "2020-01-01 00:30")
    watch.run("2020-01-01 01:00", "success")

    more = [sweeps.close_slots(), sweeps.close_slots()]
    states = [slot.state for slot in slots_of(watch.monitor)]

    assert more == [False, False]
    assert states == ["ok"] + ["missed"] * 101 + ["expected"]
    assert watch.notices == ["monitor_failing"]


def test_step_is_one_of_the_sweeps() -> None:
    assert (sweeps.close_slots, 1.0) in sweeps.SWEEPS
