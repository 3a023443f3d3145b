"""Dry runs: what a draft would have fired, and where a dry run stops."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from alerting import NOW, after, create, update
from conftest import make_project

from taskbadger.domain import ids
from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Project
from taskbadger.services.alerts import dry_runs
from taskbadger.services.tasks import deadlines, write


def test_dry_run_tells_what_would_have_fired(project: ProjectRef) -> None:
    batch = make_project(slug="batch")
    old = create(project, now=NOW - timedelta(days=9))
    update(project, old, NOW - timedelta(days=8), status="error")
    failed = create(project, name="nightly import")
    update(project, failed, NOW + timedelta(seconds=2), value=60)
    update(project, failed, NOW + timedelta(seconds=4), status="error")
    create(project, name="other", status="error")
    create(batch, name="nightly import", status="error")
    create(make_project("globex"), name="nightly import", status="error")

    found = dry_runs.dry_run(
        project.organization_id,
        trigger="50%,error",
        days=7,
        now=NOW + timedelta(days=1),
        project="web",
        name_pattern="^nightly",
    )

    shown = [(one.task_id, one.when, one.reason.point) for one in found.firings]
    assert shown == [
        (failed, NOW + timedelta(seconds=2), "50%"),
        (failed, NOW + timedelta(seconds=4), "error"),
    ]
    assert (found.count, found.tasks, found.complete) == (2, 2, True)


def test_dry_run_counts_all_and_shows_some(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_runs, "_BATCH", 2)
    for _ in range(5):
        create(project, status="error")

    found = dry_runs.dry_run(project.organization_id, trigger="error", days=1, now=NOW, limit=3)

    assert (found.count, len(found.firings), found.tasks, found.complete) == (5, 3, 5, True)


def test_dry_run_has_a_bound_and_says_so(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_runs, "_BATCH", 2)
    monkeypatch.setattr(dry_runs, "_MAX_TASKS", 4)
    for _ in range(7):
        create(project, status="error")

    found = dry_runs.dry_run(project.organization_id, trigger="error", days=1, now=NOW)

    assert (found.count, found.tasks, found.complete) == (4, 4, False)


def test_dry_run_stops_when_its_time_is_up_and_says_so(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_runs, "_BATCH", 2)
    for _ in range(7):
        create(project, status="error")

    seconds = iter([0.0, 1.0, 1.9, 2.0])
    found = dry_runs.dry_run(
        project.organization_id, trigger="error", days=1, now=NOW, clock=lambda: next(seconds)
    )

    assert (found.count, found.tasks, found.complete) == (4, 4, False)


def test_dry_run_knows_max_runtime_from_the_history(project: ProjectRef) -> None:
    task_id = create(project, status="processing", max_runtime=1)
    late = NOW + timedelta(seconds=2)
    assert [found for _, found in deadlines.list_overdue(now=late, limit=5)] == [task_id]
    write.mark_overdue(project, [task_id], now=late)
    db.session.commit()

    found = dry_runs.dry_run(
        project.organization_id, trigger="max_runtime_exceeded", days=1, now=late
    )

    assert [(one.task_id, one.when) for one in found.firings] == [(task_id, late)]


@pytest.mark.parametrize(
    ("draft", "attr"),
    [
        ({"trigger": "soon"}, "trigger"),
        ({"trigger": "error", "name_pattern": "("}, "name_pattern"),
        ({"trigger": "error", "project": "nowhere"}, "project"),
        ({"trigger": "error,50%", "mode": "incident"}, "trigger"),
        ({"trigger": "error", "at_least": 3}, "within"),
    ],
)
def test_wrong_draft_is_refused(project: ProjectRef, draft: dict[str, Any], attr: str) -> None:
    with pytest.raises(ValidationFailed) as raised:
        dry_runs.dry_run(project.organization_id, days=1, now=NOW, **draft)

    assert [error.attr for error in raised.value.errors] == [attr]


def told(project: ProjectRef, **draft: Any) -> list[float]:
    """Return the minutes after NOW at which a draft would have told something."""
    found = dry_runs.dry_run(
        project.organization_id, trigger="error", days=1, now=after(minutes=60), **draft
    )
    return sorted((one.when - NOW).total_seconds() / 60 for one in found.firings)


def test_dry_run_counts_incidents(project: ProjectRef) -> None:
    for minute, status in enumerate(["error", "error", "success", "error", "success", "error"]):
        create(project, after(minutes=minute), status=status)
    create(project, after(minutes=1), name="other", status="error")

    assert told(project, mode="incident") == [0, 1, 3, 5]
    assert told(project) == [0, 1, 1, 3, 5]


def test_dry_run_closes_incidents_when_their_project_does(project: ProjectRef) -> None:
    db.session.get_one(Project, project.id).quiet_after = 600
    db.session.commit()
    for minute in (0, 9, 19, 40):
        create(project, after(minutes=minute), status="error")

    assert told(project, mode="incident") == [0, 19, 40]


def test_dry_run_leaves_out_what_was_tried_again(project: ProjectRef) -> None:
    create(project, after(minutes=0), status="error", external_id="a")
    create(project, after(minutes=1), status="error", external_id="a")
    create(project, after(minutes=3), status="error", external_id="a")

    assert told(project) == [0, 1, 3]
    assert told(project, wait_for_retry=60) == [1, 3]
    assert told(project, wait_for_retry=120) == [3]
    assert told(project, mode="incident", wait_for_retry=120) == [3]


def test_dry_run_counts_rates(project: ProjectRef) -> None:
    for minute in (0, 1, 2, 3, 30, 31, 32):
        create(project, after(minutes=minute), status="error")

    assert told(project, at_least=3, within=300) == [2, 32]
    assert told(project, at_least=3, within=300, mode="incident") == [2]
    assert told(project, at_least=5, within=300) == []


def test_dry_run_knows_of_attempts_whatever_was_updated_last(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_runs, "_BATCH", 1)
    first = create(project, after(minutes=0), status="error", external_id="a")
    create(project, after(minutes=1), status="success", external_id="a")
    update(project, first, after(minutes=5), value=1)

    assert told(project, wait_for_retry=120) == []


def test_dry_run_orders_attempts_by_time_although_the_text_of_their_ids_does_not(
    project: ProjectRef,
) -> None:
    # Base64 sorts its capitals after its digits, and ASCII does not.
    moments = [after(seconds=each) for each in range(1200)]
    early, late = next(
        pair for pair in pairwise(moments) if ids.last_id(pair[0]) > ids.last_id(pair[1])
    )
    create(project, early, status="error", external_id="a")
    create(project, late, status="success", external_id="a")

    assert told(project, wait_for_retry=120) == []
