"""The step that finds the kinds of entries of the audit log that servers before kinds wrote."""

from collections.abc import Callable, Mapping

import pytest
from conftest import FIXTURES, count_queries
from flask import Flask
from plans import plan_of
from simultaneous import at_once, numbered
from sqlalchemy import select, update

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor
from taskbadger.extensions import db
from taskbadger.models import AuditEntry
from taskbadger.services.organizations import audit, organizations
from taskbadger.worker import groups, sweeps

KEY = Actor("key", "ci")
ADA = Actor("user", "ada@example.org")
VERBS = ((KEY, "task.create"), (ADA, "task.cancel"), (ADA, "view.save"), (ADA, ""), (ADA, ".x"))


@pytest.fixture
def old(app: Flask) -> Mapping[int, str]:
    """Entries of two organizations without kinds, and what these are."""
    for slug in ("acme", "other"):
        owner = organizations.ensure_organization(slug, actor=FIXTURES, now=utcnow()).id
        for actor, verb in VERBS * 3:
            audit.record(actor, owner, verb, "it", now=utcnow())
    db.session.commit()
    found = kinds()
    db.session.execute(update(AuditEntry).values(kind=""))
    db.session.commit()
    return found


def kinds() -> dict[int, str]:
    rows = db.session.execute(select(AuditEntry.id, AuditEntry.kind)).all()
    db.session.rollback()
    return {row.id: row.kind for row in rows}


def set_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "BATCH", 4)
    monkeypatch.setattr(sweeps, "GROUP", 3)


def test_step_finds_all_kinds_and_costs_one_look_afterwards(
    old: Mapping[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_sizes(monkeypatch)

    assert not sweeps.find_kinds_of_audit_entries()

    assert kinds() == old
    with count_queries() as statements:
        assert not sweeps.find_kinds_of_audit_entries()
    assert len(statements) == 1


def test_step_begins_with_the_newest_and_goes_on_where_it_was_stopped(
    old: Mapping[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_sizes(monkeypatch)
    monkeypatch.setattr(groups, "SWEEP_SECONDS", -1.0)

    assert sweeps.find_kinds_of_audit_entries()
    acme = select(AuditEntry.id).where(
        AuditEntry.organization_id == select(AuditEntry.organization_id).limit(1).scalar_subquery()
    )
    newest = sorted(db.session.scalars(acme))[-3:]
    db.session.rollback()
    assert {entry_id for entry_id, kind in kinds().items() if kind} == set(newest)

    while sweeps.find_kinds_of_audit_entries():
        pass
    assert kinds() == old


def test_entries_that_an_old_server_still_writes_get_their_kinds_too(
    old: Mapping[int, str],
) -> None:
    assert not sweeps.find_kinds_of_audit_entries()
    db.session.execute(update(AuditEntry).where(AuditEntry.verb == "view.save").values(kind=""))
    db.session.commit()

    assert not sweeps.find_kinds_of_audit_entries()

    assert kinds() == old


def test_several_workers_find_the_same_kinds(
    app: Flask, old: Mapping[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_sizes(monkeypatch)

    def work(_number: int) -> None:
        while sweeps.find_kinds_of_audit_entries():
            pass

    at_once(app, *numbered(3, work))

    assert kinds() == old


def test_entries_without_kinds_are_listed_from_the_index_of_kinds(old: Mapping[int, str]) -> None:
    plan = plan_of(lambda: audit.list_without_kind(limit=5))

    assert plan.count("ix_audit_entry_organization_id_kind_id") == 2
    assert "Seq Scan on audit_entry" not in plan
    assert "SCAN audit_entry" not in plan


def test_entry_whose_kind_is_unknown_is_listed_by_itself(old: Mapping[int, str]) -> None:
    owner = db.session.scalars(select(AuditEntry.organization_id).limit(1)).one()

    assert len(audit.list_folded(owner).rows) == len(old) // 2


def test_worker_runs_the_step() -> None:
    step: Callable[[], bool] = sweeps.find_kinds_of_audit_entries
    assert (step, 60.0) in sweeps.SWEEPS
