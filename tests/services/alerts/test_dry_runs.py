"""Dry runs: what a draft would have fired, and where a dry run stops."""

from datetime import timedelta

import pytest
from alerting import NOW, create, update
from conftest import make_project

from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
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
    ],
)
def test_wrong_draft_is_refused(project: ProjectRef, draft: dict[str, str], attr: str) -> None:
    with pytest.raises(ValidationFailed) as raised:
        dry_runs.dry_run(project.organization_id, days=1, now=NOW, **draft)

    assert [error.attr for error in raised.value.errors] == [attr]
