"""The last outcomes of monitors, from what is known and from the database."""

from plans import plan_of
from sqlalchemy import select
from watching import Watch, at, make_many, sweep

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.models.monitor_rows import AnyMonitor, NewSlot
from taskbadger.services.monitors.outcomes import list_outcomes


def all_monitors() -> list[Monitor]:
    return list(db.session.scalars(select(Monitor).order_by(Monitor.name)))


def last(monitors: list[Monitor], count: int) -> list[list[str]]:
    found = list_outcomes((monitor, count, ()) for monitor in monitors)
    return [[state.value for state in found[monitor.id]] for monitor in monitors]


def test_outcomes_of_one_and_of_many_are_the_same(project: ProjectRef) -> None:
    grace = {"start_grace": 60}
    Watch(project, fields={"name": "a", **grace})
    Watch(project, fields={"name": "b", **grace}).run("12:00", "error")
    twice = Watch(project, fields={"name": "c", **grace})
    twice.run("12:00", "success")
    twice.run("13:00", "error")
    restarted = Watch(project, fields={"name": "d", **grace})
    restarted.run("12:00", "error")
    restarted.edit("12:30", schedule="30 * * * *")
    restarted.run("13:30", "success")
    sweep("14:02")
    monitors = all_monitors()

    together = [last(monitors, count) for count in (1, 2, 5)]
    alone = [[last([monitor], count)[0] for monitor in monitors] for count in (1, 2, 5)]

    assert together == alone
    assert together == [
        [[], ["missed"], ["missed"], ["ok"]],
        [[], ["missed", "missed"], ["error", "missed"], ["ok"]],
        [[], ["error", "missed", "missed"], ["ok", "error", "missed"], ["ok"]],
    ]


def test_row_that_sums_up_slots_counts_as_several(project: ProjectRef) -> None:
    watch = Watch(project, "11:59:30", {"name": "a", "schedule": "* * * * *", "start_grace": 30})
    watch.run("12:00", "success")
    other = Watch(project, fields={"name": "b"})
    other.run("12:00", "success")
    sweep("14:30:30")

    found = last(all_monitors(), 151)

    assert found == [["ok"] + ["missed"] * 150, ["ok", "missed", "missed"]]


def test_monitors_may_ask_for_different_numbers(project: ProjectRef) -> None:
    make_many(project, 4)
    sweep("14:01")
    one, two, three, known = all_monitors()
    newest = NewSlot(known.id, known.epoch, at("15:00"), None, "error")
    old = newest._replace(epoch=known.epoch - 1)

    asked: list[tuple[AnyMonitor, int, list[NewSlot]]] = [
        (one, 1, []),
        (two, 2, []),
        (three, 2, [old]),
        (known, 1, [newest]),
    ]
    found = list_outcomes(asked)

    assert [found[monitor.id] for monitor in (one, two, three, known)] == [
        ["missed"],
        ["missed"] * 2,
        ["missed"] * 2,
        ["error"],
    ]


def test_history_of_monitors_is_not_read(project: ProjectRef) -> None:
    make_many(project, 3)
    sweep("12:01")
    monitors = all_monitors()

    plan = plan_of(lambda: last(monitors, 2))

    if db.engine.dialect.name == "postgresql":
        expected = "Index Scan Backward using uq_slot_monitor_id_expected_at on slot"
    else:
        expected = "SEARCH slot USING INDEX sqlite_autoindex_slot_1 (monitor_id=?)"
    assert expected in plan
    assert ("SCAN" in plan, "Seq Scan" in plan) == (False, False)
