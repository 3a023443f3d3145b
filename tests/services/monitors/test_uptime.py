"""The uptime of monitors."""

from datetime import timedelta

import pytest
from plans import plan_of
from watching import Watch, at, outage, sweep

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Slot
from taskbadger.services.monitors.uptime import Uptime, read_uptime

NOON = at("12:00")


def add_slot(watch: Watch, days: float, state: str, count: int = 1, last: float = 0) -> None:
    """Add a finished slot of so many days ago; one row for *count* of them, up to *last* ago."""
    db.session.add(
        Slot(
            monitor_id=watch.monitor.id,
            epoch=0,
            expected_at=NOON - timedelta(days=days),
            last_expected_at=NOON - timedelta(days=last) if count > 1 else None,
            count=count,
            state=state,
        )
    )
    db.session.commit()


def found(watch: Watch) -> list[tuple[int, int, int, float | None]]:
    return [(*one, one.percent) for one in read_uptime(watch.monitor.id, now=NOON)]


def test_good_outcomes_are_counted_against_the_bad_ones(project: ProjectRef) -> None:
    watch, other = Watch(project), Watch(project, fields={"name": "other"})
    add_slot(other, 1, "error")
    for days, state in enumerate(("ok", "late", "error", "missed", "timeout", "unknown"), 1):
        add_slot(watch, days, state)
    add_slot(watch, 7, "skipped")
    add_slot(watch, 30, "ok")
    add_slot(watch, 30.5, "missed")
    add_slot(watch, 89, "ok")
    add_slot(watch, 91, "missed")

    assert found(watch) == [(30, 3, 3, 50.0), (90, 4, 4, 50.0)]


def test_monitor_without_outcomes_has_no_uptime(project: ProjectRef) -> None:
    assert found(Watch(project)) == [(30, 0, 0, None), (90, 0, 0, None)]


def test_row_that_sums_up_slots_counts_as_far_as_they_lie_in_the_period(
    project: ProjectRef,
) -> None:
    watch = Watch(project)
    add_slot(watch, 80, "missed", count=60, last=20)
    add_slot(watch, 1, "ok", count=10, last=0.5)

    assert found(watch) == [(30, 10, 10, 50.0), (90, 10, 60, 14.28)]


def test_row_that_ended_before_the_period_does_not_count(project: ProjectRef) -> None:
    watch = Watch(project)
    add_slot(watch, 120, "missed", count=10, last=95)
    add_slot(watch, 95, "missed")

    assert found(watch) == [(30, 0, 0, None), (90, 0, 0, None)]


@pytest.mark.parametrize(
    ("good", "bad", "percent"), [(1, 0, 100.0), (0, 1, 0.0), (99_999, 1, 99.99), (2, 1, 66.66)]
)
def test_percentage_is_rounded_down(good: int, bad: int, percent: float) -> None:
    assert Uptime(30, good, bad).percent == percent


def test_our_own_downtime_does_not_count(project: ProjectRef) -> None:
    watch = Watch(project)
    watch.run("12:00", "success")
    outage("12:30", "14:30")
    sweep("14:45")

    assert [state.split()[1] for state in watch.slots][:3] == ["ok", "unknown", "unknown"]
    assert read_uptime(watch.monitor.id, now=at("14:45"))[0] == Uptime(30, 1, 0)


def test_only_the_period_is_read_from_the_index(project: ProjectRef) -> None:
    watch = Watch(project)

    plan = plan_of(lambda: found(watch))

    if db.engine.dialect.name == "postgresql":
        assert plan.count("uq_slot_monitor_id_expected_at on slot") == 3
    else:
        index = "SEARCH slot USING INDEX sqlite_autoindex_slot_1 (monitor_id=? AND expected_at"
        assert plan.count(index) == 3
    assert ("SCAN" in plan, "Seq Scan" in plan) == (False, False)
