"""What a name with too many kinds of failures tells of the rest: that there is more, once."""

from alerting import KEY, NOW, after, make_global_action
from services.failures.failing import fill
from services.incidents.happening import end, kinds, told, work

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.failures.counting import MAX_KINDS
from taskbadger.services.tasks import write


def test_the_rest_is_told_once_in_all_incidents(project: ProjectRef) -> None:
    fill(project, MAX_KINDS)
    make_global_action(project, mode="incident")
    for minute in range(0, 12, 2):
        end(project, error=f"row of {'abcdefghijkl'[minute]}", minute=minute)
        work(minute)
        if minute == 6:
            end(project, "success", minute + 1)
            work(minute + 1)

    assert kinds() == ["task.failing", "task.recovered", "task.failing"]


def test_the_rest_is_one_new_way_to_fail(project: ProjectRef) -> None:
    fill(project, MAX_KINDS - 1)
    make_global_action(project, mode="incident")
    for minute, text in enumerate(["known", "alice", "bob", "carol", "known", "dave"]):
        end(project, error=text, minute=minute)
        work(minute)

    assert kinds() == ["task.failing", "task.new_failure"]
    assert told()[1][1] == "job fails in a new way: alice (2 runs since 03:02 UTC)"


def test_rules_tell_of_the_rest_by_its_cause(project: ProjectRef) -> None:
    fill(project, MAX_KINDS)
    make_global_action(project, name="late", trigger="stale", mode="incident")
    values = {"name": "job", "status": "processing", "stale_timeout": 60}
    running = write.create_task(project, values, now=NOW, actor=KEY)
    db.session.commit()
    write.mark_stale(project, [running.id], now=after(minutes=2))
    db.session.commit()
    end(project, error="boom", minute=3)
    work(3)

    assert [title for _, title in told()] == [
        "job is failing: No update for 1 min (2 runs since 03:04 UTC)"
    ]
