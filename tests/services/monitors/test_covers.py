"""Which monitors windows cover, and when."""

from conftest import count_queries, make_project
from holding import make_window
from watching import Watch, at, make_many

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.services.monitors import covers


def test_monitors_are_covered_while_a_window_is_active(project: ProjectRef) -> None:
    monitor, other = Watch(project).monitor, Watch(make_project("other")).monitor
    make_window(project, at("11:00"), starts=at("12:00"), ends=at("13:00"))

    found = [
        covers.covered([monitor, other], now=at(time))
        for time in ("11:59:59", "12:00", "12:59:59", "13:00")
    ]

    assert found == [set(), {monitor.id}, {monitor.id}, set()]


def test_window_of_names_covers_no_monitor(project: ProjectRef) -> None:
    monitor = Watch(project).monitor
    make_window(project, at("11:00"), starts=at("12:00"), ends=at("13:00"), name_pattern=".")

    assert covers.covered([monitor], now=at("12:30")) == set()


def test_last_span_is_the_latest_that_is_over(project: ProjectRef) -> None:
    monitor = Watch(project).monitor
    for start, end in (("12:00", "12:20"), ("12:10", "12:15"), ("12:30", "13:00")):
        make_window(project, at("11:00"), starts=at(start), ends=at(end))
    cover = covers.covers_of([monitor], now=at("12:45"))[monitor.id]

    found = cover.last_span(at("11:00"), at("12:45"))

    assert found is not None
    assert (found.start, found.end) == (at("12:00"), at("12:20"))
    assert cover.last_span(at("12:20"), at("12:45")) is None


def test_earlier_spans_of_a_schedule_cover_too(project: ProjectRef) -> None:
    monitor = Watch(project).monitor
    make_window(project, at("11:00"), schedule="0 * * * *", duration=600)
    cover = covers.covers_of([monitor], now=at("12:45"))[monitor.id]

    found = [cover.contains(at(time)) for time in ("11:09", "11:10", "12:00", "12:30")]

    assert found == [True, False, True, False]
    last = cover.last_span(at("11:00"), at("12:45"))
    assert last is not None
    assert last.start == at("12:00")


def test_many_monitors_take_one_statement(project: ProjectRef) -> None:
    make_many(project, 20)
    make_window(project, at("11:00"), starts=at("12:00"), ends=at("13:00"))
    monitors = db.session.query(Monitor).all()

    with count_queries() as statements:
        found = covers.covered(monitors, now=at("12:30"))

    assert (len(found), len(statements)) == (20, 1)
    assert covers.covered([], now=at("12:30")) == set()
