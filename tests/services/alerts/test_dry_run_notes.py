"""What a dry run says beside its firings."""

from typing import Any

import pytest
from alerting import KEY, NOW, after, create
from holding import make_window
from watching import Watch

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.alerts import dry_run_notes, dry_runs
from taskbadger.services.tasks import write


def notes(project: ProjectRef, **draft: Any) -> list[str]:
    """Return what the dry run of a draft says beside its firings."""
    found = dry_runs.dry_run(
        project.organization_id, trigger="error", days=1, now=after(minutes=60), **draft
    )
    return list(found.notes)


INCIDENT_NOTES = [
    "3 changes reached the trigger. An incident is told once, however many runs fail.",
    "A snooze delays what follows, such as reminders, and none of these messages.",
]


def test_dry_run_says_how_a_mode_tells(project: ProjectRef) -> None:
    for minute in range(3):
        create(project, after(minutes=minute), status="error")

    assert notes(project) == []
    assert notes(project, mode="incident") == INCIDENT_NOTES


def test_dry_run_says_how_many_were_tried_again(project: ProjectRef) -> None:
    for minute in range(3):
        create(project, after(minutes=minute), status="error", external_id="a")

    assert notes(project) == []
    assert notes(project, wait_for_retry=60) == [
        "No message would have been sent for 2 failures: their runs were retried within 1 min."
    ]


def test_dry_run_says_what_the_rate_leaves_out(project: ProjectRef) -> None:
    for minute in range(3):
        create(project, after(minutes=minute), status="error")
    rate = {"at_least": 2, "within": 300}

    assert notes(project, **rate) == [
        "No message would have been sent for 2 firings: the rate of 2 within 5 min was not "
        "reached or had been reported already."
    ]
    assert notes(project, **rate, mode="incident") == INCIDENT_NOTES
    assert notes(project, **rate | {"at_least": 4}, mode="incident") == [
        *INCIDENT_NOTES,
        "No message would have been sent for 1 incident: the rate of 4 within 5 min was not "
        "reached.",
    ]


@pytest.mark.parametrize(
    ("mode", "ending"),
    [
        ("every", "What one window holds back becomes one message."),
        ("incident", "Anything that recovers by then is not reported."),
    ],
)
def test_dry_run_says_what_windows_would_have_held(
    project: ProjectRef, mode: str, ending: str
) -> None:
    make_window(project, name="deploy", starts=after(minutes=1), ends=after(minutes=5))
    make_window(project, name="other", name_pattern="other")
    for name in ("one", "two", "three"):
        for minute in (0, 2) if name == "one" else (2,):
            create(project, after(minutes=minute), name=name, status="error")

    found = notes(project, mode=mode)

    number = 3 if mode == "every" else 2
    waited = f"{number} of these would have waited for the end of a window (“deploy”)."
    assert found[-2:] == [waited, ending]
    assert notes(project, mode=mode, name_pattern="nothing") == []


def test_dry_run_knows_the_window_of_a_monitor(project: ProjectRef) -> None:
    watched = Watch(project, fields={"action": []})
    make_window(project, name="of it", monitor=str(watched.monitor.id))
    write.create_task(
        project,
        {"name": "job", "status": "error"},
        now=NOW,
        actor=KEY,
        monitor_id=watched.monitor.id,
    )
    db.session.commit()
    create(project, name="other", status="error")

    assert notes(project)[0] == "1 of these would have waited for the end of a window (“of it”)."


def test_dry_run_compares_with_windows_for_half_a_second_and_says_so(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_window(project, name="deploy")
    for _ in range(3):
        create(project, status="error")

    walked, begins = [0.0, 0.1], 0.2
    seconds = iter([*walked, begins, 0.3, 0.6, 0.7])
    assert notes(project, clock=lambda: next(seconds)) == [
        "2 of these would have waited for the end of a window (“deploy”).",
        "What one window holds back becomes one message.",
        "Only 2 of these were compared with the maintenance windows.",
    ]
    seconds = iter([*walked, begins, 0.7])
    assert notes(project, clock=lambda: next(seconds)) == [
        "Only 0 of these were compared with the maintenance windows."
    ]
    monkeypatch.setattr(dry_run_notes, "_MAX_COMPARED", 1)
    assert notes(project)[-1] == "Only 1 of these was compared with the maintenance windows."
