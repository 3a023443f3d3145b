"""The rate and the quiet period of a global action."""

from alerting import NOW, after, create, firings, make_global_action, queued
from conftest import make_project
from sqlalchemy import select

from taskbadger.channels import Message
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.domain.quiet import Decision, Quiet
from taskbadger.extensions import db
from taskbadger.models import Delivery, GlobalAction
from taskbadger.services.alerts import global_actions, pacing
from taskbadger.services.alerts.pacing import GlobalActionRow, HeldRow
from taskbadger.services.tasks import write


def test_quiet_period_holds_back_and_notifies_at_its_end(project: ProjectRef) -> None:
    make_global_action(project, quiet_period=600)

    for minutes in (0, 1, 2, 3):
        create(project, now=after(minutes=minutes), name=f"job {minutes}", status="error")

    db.session.commit()
    first, summary = db.session.scalars(select(Delivery).order_by(Delivery.created)).all()
    assert first.next_attempt_at == NOW
    assert Message.from_json(first.message).held_back == 0
    assert summary.next_attempt_at == after(minutes=10)
    message = Message.from_json(summary.message)
    assert (message.id, message.title, message.held_back) == (summary.id, "job 3: error", 2)
    assert [firing.held_back for firing in firings()] == [False, True, True, True]


def test_message_at_the_end_of_a_quiet_period_begins_the_next(project: ProjectRef) -> None:
    make_global_action(project, quiet_period=600)

    for minutes in (0, 1, 11, 19, 30):
        create(project, now=after(minutes=minutes), name=f"job {minutes}", status="error")

    db.session.commit()
    found = db.session.scalars(select(Delivery).order_by(Delivery.next_attempt_at)).all()
    titles = [(Message.from_json(one.message).title, one.next_attempt_at) for one in found]
    assert titles == [
        ("job 0: error", NOW),
        ("job 1: error", after(minutes=10)),
        ("job 19: error", after(minutes=20)),
        ("job 30: error", after(minutes=30)),
    ]


def test_quiet_period_without_anything_held_back_ends_silently(project: ProjectRef) -> None:
    make_global_action(project, quiet_period=600)

    create(project, now=NOW, status="error")
    create(project, now=after(minutes=11), status="error")

    db.session.commit()
    found = db.session.scalars(select(Delivery).order_by(Delivery.created)).all()
    assert [one.next_attempt_at for one in found] == [NOW, after(minutes=11)]


def test_rate_is_told_when_it_is_reached_and_again_after_it_has_fallen(project: ProjectRef) -> None:
    make_global_action(project, at_least=3, within=600)
    for minute in (0, 1, 2, 3, 30, 31, 32):
        create(project, after(minutes=minute), status="error")

    assert [firing.held_back for firing in firings()] == [
        True,
        True,
        False,
        True,
        True,
        True,
        False,
    ]
    assert queued() == [("email", "error")] * 2


def test_rate_counts_many_failures_of_one_sweep(project: ProjectRef) -> None:
    make_global_action(project, trigger="stale", at_least=3, within=60)
    task_ids = [
        create(project, status="processing", stale_timeout=60, name=f"job {number}")
        for number in range(5)
    ]

    write.mark_stale(project, task_ids, now=after(minutes=2))

    assert queued() == [("email", "stale")]
    assert len(firings()) == 5


def locked(global_action_id: int) -> GlobalActionRow:
    found = pacing.lock(global_action_id)
    assert found is not None
    return found


def quiet_of(global_action_id: int) -> Quiet:
    """Return the quiet period of a global action as it is in the database now."""
    row = db.session.get_one(GlobalAction, global_action_id, populate_existing=True)
    return Quiet(row.quiet_until, row.held_back)


def test_global_action_that_is_gone_paces_nothing(project: ProjectRef) -> None:
    gone = locked(make_global_action(project, at_least=1, within=600, quiet_period=600))
    assert pacing.keep(gone)
    global_actions.delete_global_action(project.organization_id, gone.id, actor=SERVER, now=NOW)
    db.session.commit()

    assert (pacing.lock(gone.id), pacing.keep(gone)) == (None, False)
    assert pacing.count(gone, [NOW], now=NOW) is None
    assert pacing.hold_back(gone, 1, NOW) is None


def test_late_message_begins_a_quiet_period_unless_one_goes_on(project: ProjectRef) -> None:
    loud = make_global_action(project)
    quiet = make_global_action(project, quiet_period=600)

    found = []
    for minute in (0, 9, 10):
        for each in (loud, quiet):
            pacing.begin_quiet_period(locked(each), after(minutes=minute))
        found.append((quiet_of(loud), quiet_of(quiet)))

    first, second = Quiet(after(minutes=10)), Quiet(after(minutes=20))
    assert found == [(Quiet(), first), (Quiet(), first), (Quiet(), second)]


def test_message_that_is_not_sent_after_all_begins_no_quiet_period(project: ProjectRef) -> None:
    action = locked(make_global_action(project, quiet_period=600))
    end = after(minutes=10)
    pacing.hold_back(action, 3, NOW)

    pacing.forget_held_back(action.id, after(minutes=9))
    assert quiet_of(action.id) == Quiet(end, 2)
    pacing.forget_held_back(action.id, end)
    assert quiet_of(action.id) == Quiet(end, 0)
    assert pacing.hold_back(action, 1, end) == [
        Decision(end, held_back=False, quiet=Quiet(after(minutes=20)))
    ]


def test_message_at_the_end_of_a_quiet_period_is_found_in_its_organization(
    project: ProjectRef,
) -> None:
    action = locked(make_global_action(project, quiet_period=600))
    for minute in (0, 1):
        create(project, after(minutes=minute), status="error")
    held = db.session.scalars(select(Delivery).order_by(Delivery.created.desc())).first()
    [decision] = pacing.hold_back(action, 1, after(minutes=2)) or []
    key = pacing.key_of(action.id, "email", decision)

    assert held is not None
    assert pacing.find_held(project.organization_id, key) == HeldRow(held.id, "waiting")
    assert pacing.find_held(make_project("globex").organization_id, key) is None
    other = pacing.key_of(action.id, "webhook:ops", decision)
    assert pacing.find_held(project.organization_id, other) is None
