"""The worker's step for monitors, by the real clock."""

import time

import pytest
from sqlalchemy import delete
from watching import Watch, at, slots_of

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Slot
from taskbadger.worker import groups, left_out, sweeps
from taskbadger.worker.left_out import LeftOut


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "unclosed", LeftOut())
    monkeypatch.setattr(groups, "SWEEP_SECONDS", 60.0)


def due(project: ProjectRef, day: str = "2020-01-01") -> Watch:
    """Return a monitor that had its last run at one o'clock of a day long ago."""
    watch = Watch(project, f"{day} 00:30")
    watch.run(f"{day} 01:00", "success")
    return watch


def states(watch: Watch) -> list[str]:
    return [slot.state for slot in slots_of(watch.monitor)]


CLOSED = ["ok"] + ["missed"] * 101 + ["expected"]


def collide(watch: Watch) -> None:
    """Leave a slot where the sweep will add one."""
    db.session.add(
        Slot(
            monitor_id=watch.monitor.id,
            epoch=watch.monitor.epoch,
            expected_at=at("2020-01-01 03:00"),
            state="ok",
        )
    )
    db.session.commit()


def remove_collision(watch: Watch) -> None:
    leftover = Slot.expected_at == at("2020-01-01 03:00")
    db.session.execute(delete(Slot).where(Slot.monitor_id == watch.monitor.id, leftover))
    db.session.commit()


def test_step_closes_what_is_due_and_then_is_idle(project: ProjectRef) -> None:
    watch = due(project)

    more = [sweeps.close_slots(), sweeps.close_slots()]

    assert more == [False, False]
    assert states(watch) == CLOSED
    assert watch.notices == ["monitor_failing"]


@pytest.mark.parametrize("monitors", [1, 1_000])
def test_monitor_that_cannot_be_closed_stops_no_other(
    project: ProjectRef,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    monitors: int,
) -> None:
    monkeypatch.setattr(sweeps, "MONITORS", monitors)
    broken, healthy = due(project), due(project, "2020-01-02")
    collide(broken)
    caplog.clear()

    while sweeps.close_slots():
        pass
    sweeps.close_slots()

    logged = [
        (one.message, getattr(one, "monitor", None))
        for one in caplog.records
        if one.name == groups.__name__
    ]
    assert logged == [("monitor could not be updated", str(broken.monitor.id))]
    assert states(broken) == ["ok", "expected", "ok"]
    assert states(healthy) == CLOSED
    assert healthy.notices == ["monitor_failing"]


def test_monitor_that_could_not_be_closed_is_tried_again(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = due(project)
    collide(broken)
    sweeps.close_slots()
    remove_collision(broken)
    found = []
    real = time.monotonic

    for seconds in (0, left_out.SECONDS - 30, left_out.SECONDS):
        monkeypatch.setattr(left_out.time, "monotonic", lambda later=seconds: real() + later)
        sweeps.close_slots()
        found.append(states(broken))

    assert found == [["ok", "expected"], ["ok", "expected"], CLOSED]


def test_step_that_takes_long_lets_other_steps_run(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    watches = [due(project), due(project, "2020-01-02")]
    monkeypatch.setattr(sweeps, "MONITOR_GROUP", 1)
    monkeypatch.setattr(groups, "SWEEP_SECONDS", -1.0)
    found = []

    for _ in watches:
        more = sweeps.close_slots()
        found.append((more, [states(watch) == CLOSED for watch in watches]))

    assert found == [(True, [True, False]), (False, [True, True])]


def test_step_that_takes_long_sends_some_deferred_notices(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    watches = [due(project), due(project, "2020-01-02")]
    for watch in watches:
        watch.edit("2020-01-03", status="muted")
    sweeps.close_slots()
    for watch in watches:
        watch.edit("2020-01-04", status="active")
    monkeypatch.setattr(sweeps, "MONITOR_GROUP", 1)
    monkeypatch.setattr(groups, "SWEEP_SECONDS", -1.0)
    found = []

    for _ in range(3):
        more = sweeps.close_slots()
        found.append((more, [watch.notices for watch in watches]))

    failing = ["monitor_failing"]
    assert found == [(True, [failing, []]), (True, [failing] * 2), (False, [failing] * 2)]


def test_step_is_one_of_the_sweeps() -> None:
    assert (sweeps.close_slots, 1.0) in sweeps.SWEEPS
