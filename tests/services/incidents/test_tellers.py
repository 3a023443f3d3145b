"""Who tells of an incident."""

from alerting import MAIL, NOW, after, make_global_action
from watching import TO_EMAIL, Watch

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.incidents import tellers
from taskbadger.services.incidents.tellers import ShownMonitor, Teller

STEP = {"after": 900, "channels": [MAIL]}


def test_global_action_as_a_teller(project: ProjectRef) -> None:
    number = make_global_action(
        project, mode="incident", remind_after=600, escalation=[STEP], wait_for_retry=60
    )

    assert tellers.lock_global_actions([number]) == {
        number: Teller(
            name="all errors",
            channels=[MAIL],
            remind_after=600,
            escalation=[STEP],
            global_action_id=number,
            trigger="error",
            causes=["error", "max_runtime_exceeded"],
            wait_for_retry=60,
        )
    }
    assert tellers.lock_global_actions([]) == {}


def test_monitor_as_a_teller(project: ProjectRef) -> None:
    monitor = Watch(project, fields={"remind_after": 300}).monitor

    assert tellers.list_monitors([monitor.id], NOW) == {
        monitor.id: Teller(
            name="nightly",
            channels=TO_EMAIL,
            remind_after=300,
            escalation=[],
            monitor=ShownMonitor(monitor.id, "nightly", "0 * * * *", "UTC", None),
        )
    }


def test_muted_and_paused_monitors(project: ProjectRef) -> None:
    monitor = Watch(project).monitor
    for status, until, expected in (
        ("muted", after(hours=1), (True, after(hours=1))),
        ("muted", None, (True, after(minutes=1))),
        ("muted", NOW, (True, None)),
        ("paused", None, (False, None)),
    ):
        monitor.status, monitor.muted_until = status, until
        db.session.flush()
        teller = tellers.list_monitors([monitor.id], NOW)[monitor.id]
        assert (teller.is_on, teller.muted_until) == expected
