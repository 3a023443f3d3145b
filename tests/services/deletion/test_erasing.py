"""Erasing: every row of what was deleted goes, and none of others; at any pace."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from conftest import FIXTURES
from filling_tables import NOW, Made, all_rows, fill, tables
from flask import Flask
from sqlalchemy import func, select

from taskbadger.extensions import db
from taskbadger.models import Organization, Project, Slot, Task
from taskbadger.services.deletion import closing, erasing
from taskbadger.services.deletion.closing import Deletion
from taskbadger.services.organizations import projects
from taskbadger.services.tasks import write

DELETED = NOW + timedelta(days=1)
LATER = DELETED + erasing.GRACE
OF_PEOPLE = {"user_account", "user_session", "identity"}
OF_ORGANIZATION = {
    "organization",
    "membership",
    "channel",
    "delivery_total",
    "invitation",
    "audit_entry",
}
"""What an organization has without any project."""


def later() -> datetime:
    return LATER


def erase(deletion: Deletion) -> int:
    """Erase to the end; return the number of transactions."""
    steps = 0
    for _ in erasing.erase(deletion, clock=later):
        db.session.commit()
        steps += 1
    db.session.rollback()
    return steps


def delete_project(made: Made) -> Deletion:
    organization = db.session.get_one(Organization, made["organization"]["id"])
    number = made["project"]["id"]
    done = closing.delete_project(organization, number, actor=FIXTURES, now=DELETED)
    db.session.commit()
    return done


def delete_organization(made: Made) -> Deletion:
    organization = db.session.get_one(Organization, made["organization"]["id"])
    done = closing.delete_organization(organization, actor=FIXTURES, now=DELETED)
    db.session.commit()
    return done


def test_all_rows_of_an_organization_go_and_none_of_others(app: Flask) -> None:
    fill(1)
    others = all_rows()
    doomed = fill(2)
    people = {name: rows for name, rows in all_rows().items() if name in OF_PEOPLE}

    erase(delete_organization(doomed))

    assert all_rows() == others | people
    assert min(map(len, others.values())) == 1


def test_all_rows_of_a_project_go_and_none_of_others(app: Flask) -> None:
    fill(1)
    others = all_rows()
    doomed = fill(2)
    kept = OF_ORGANIZATION | OF_PEOPLE
    of_organization = {name: rows for name, rows in all_rows().items() if name in kept}

    erase(delete_project(doomed))

    left = all_rows()
    added = left["audit_entry"].pop()
    assert left == others | of_organization
    assert added[3:8] == ("server", "fixtures", "project.delete", "project", "slug-2")


def test_large_parts_go_in_small_transactions(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "TASKS_AT_ONCE", 2)
    doomed = fill(1)
    add_tasks(doomed, 7)
    add_slots(doomed, 9)
    monkeypatch.setattr(erasing, "AT_ONCE", 3)
    sizes: list[int] = []
    deletion = delete_project(doomed)
    for rows in erasing.erase(deletion, clock=later):
        db.session.commit()
        sizes.append(rows)

    assert max(sizes) <= 3
    assert sum(sizes) >= 17
    assert count(Project) == 0


def add_tasks(made: Made, number: int) -> None:
    project = db.session.get_one(Project, made["project"]["id"])
    organization = db.session.get_one(Organization, project.organization_id)
    ref = projects.project_ref(project, organization)
    for _ in range(number):
        write.create_task(ref, {"name": "job"}, now=NOW, actor=FIXTURES)
    db.session.commit()


def add_slots(made: Made, number: int) -> None:
    for each in range(number):
        db.session.add(
            Slot(
                monitor_id=made["monitor"]["id"],
                epoch=1,
                expected_at=NOW + timedelta(days=2 + each),
                state="succeeded",
            )
        )
    db.session.commit()


def count(model: Any) -> int:
    number = db.session.scalar(select(func.count()).select_from(model)) or 0
    db.session.rollback()
    return number


def test_a_deletion_that_was_cut_off_goes_on_where_it_was(app: Flask) -> None:
    doomed = fill(1)
    deletion = delete_project(doomed)
    work = erasing.erase(deletion, clock=later)
    next(work)
    db.session.commit()
    next(work)
    db.session.rollback()  # Killed before its second commit.
    work.close()

    [found] = closing.list_deletions(label="slug-1/slug-1")
    erase(found)

    assert found == deletion
    assert [count(model) for model in (Project, Task)] == [0, 0]
    assert closing.list_deletions() == []


def test_rows_that_arrive_late_go_too(app: Flask) -> None:
    """Processes trust a key for a few seconds."""
    doomed = fill(1)
    deletion = delete_project(doomed)

    for _ in erasing.erase(deletion, clock=lambda: LATER - timedelta(microseconds=1)):
        db.session.commit()
    before_the_end = (count(Project), count(Task), closing.list_deletions())
    add_tasks(doomed, 1)
    erase(deletion)

    assert before_the_end == (1, 0, [deletion])
    assert (count(Project), count(Task), closing.list_deletions()) == (0, 0, [])


def test_a_project_that_took_the_same_slug_keeps_its_deliveries(app: Flask) -> None:
    doomed = fill(1)
    deletion = delete_project(doomed)
    organization = db.session.get_one(Organization, doomed["organization"]["id"])
    again = projects.ensure_project(organization, "slug-1", actor=FIXTURES, now=LATER)
    db.session.commit()
    delivery = db.metadata.tables["delivery"]
    row = dict(db.session.execute(select(delivery)).mappings().one())
    new_id = row["id"][:-1] + ("A" if row["id"][-1] != "A" else "Q")
    new = row | {"id": new_id, "created": LATER, "key": "new", "firing_id": None}
    db.session.execute(delivery.insert().values(new))
    db.session.commit()

    erase(deletion)

    assert [row.id for row in db.session.execute(select(delivery.c.id))] == [new_id]
    assert db.session.scalars(select(Project.id)).all() == [again.id]


def test_parents_with_many_older_children_do_not_take_them_along(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "TASKS_AT_ONCE", 2)
    doomed = fill(1)
    add_tasks(doomed, 5)
    newest = db.session.scalar(select(Task.id).order_by(Task.id.desc()).limit(1))
    for task in db.session.scalars(select(Task)):
        task.has_children, task.parent = task.id == newest, None if task.id == newest else newest
    db.session.commit()

    deletion = delete_project(doomed)
    sizes = []
    for rows in erasing.erase(deletion, clock=later):
        db.session.commit()
        sizes.append(rows)

    assert max(sizes) <= 2
    assert count(Task) == 0


def test_two_workers_do_not_get_in_each_others_way(app: Flask) -> None:
    if db.engine.dialect.name != "postgresql":
        return  # One at a time writes there.
    deletion = delete_project(fill(1))
    work = erasing.erase(deletion, clock=later)
    next(work)  # Its transaction is open.

    with app.app_context():
        assert list(erasing.erase(deletion, clock=later)) == []
        db.session.rollback()

    db.session.commit()
    for _ in work:
        db.session.commit()
    assert closing.list_deletions() == []


WITHOUT_OWNER = {
    *("beat_lease", "destination", "form_draft", "request_count", "run_stat_cursor", "used_link"),
    "delivery_cursor",
    "worker_tick",
}


def test_every_table_with_an_owner_is_tried() -> None:
    every = {table.name for table in db.metadata.sorted_tables}

    assert every - {table.name for table in tables()} == WITHOUT_OWNER
