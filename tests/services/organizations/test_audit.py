"""Recording changes, and reading the audit log."""

from datetime import timedelta

import pytest
from conftest import FIXTURES, audit_entries, count_queries
from flask import Flask
from people import make_member
from plans import plan_of

from taskbadger.clock import utcnow
from taskbadger.domain.audit_kinds import INGESTION, KINDS, Fold, Folded
from taskbadger.domain.identity import Actor
from taskbadger.extensions import db
from taskbadger.models import AuditEntry
from taskbadger.services.organizations import audit, organizations

KEY = Actor("key", "ci")
ADA = Actor("user", "ada@example.org")
NOW = utcnow().replace(microsecond=0)


@pytest.fixture
def acme(app: Flask) -> int:
    return organizations.ensure_organization("acme", actor=FIXTURES, now=NOW).id


def subjects(page: Folded[AuditEntry]) -> list[str]:
    return [row.subject for row in page.rows if isinstance(row, AuditEntry)]


def fold_of(row: Fold) -> tuple[int, tuple[str, ...], bool]:
    return row.count, row.names, row.is_more


def test_entry_has_who_when_and_what(acme: int) -> None:
    actor = Actor("key", "k" * 300)
    audit.record(actor, acme, "key.revoke", "s" * 300, "details", now=NOW)
    db.session.flush()

    [entry] = db.session.scalars(audit_entries())
    assert (entry.organization_id, entry.created, entry.verb) == (acme, NOW, "key.revoke")
    assert (entry.actor_type, entry.actor_name) == ("key", "k" * 255)
    assert (entry.subject, entry.detail) == ("s" * 255, "details")


def test_change_names_fields_that_differ_but_no_secret(acme: int) -> None:
    before = {"name": "a", "url": "old", "same": 1}
    after = {"name": "b", "url": "new", "same": 1}

    changed = audit.record_change(
        ADA, acme, "channel.change", "ops", before, after, is_secret=lambda n: n == "url", now=NOW
    )
    unchanged = audit.record_change(ADA, acme, "channel.change", "ops", after, after, now=NOW)
    db.session.flush()

    assert (changed, unchanged) == (True, False)
    [entry] = db.session.scalars(audit_entries())
    assert entry.detail == "name: a → b; url: (secret) changed"


def test_change_of_an_account_is_recorded_in_each_of_its_organizations(acme: int) -> None:
    user = make_member("bo@example.org", organization="acme")
    make_member("bo@example.org", organization="other")
    make_member("cy@example.org", organization="third")

    audit.record_for_user(ADA, user.id, "user.disable", "bo@example.org", now=NOW)
    db.session.flush()

    slugs = {one.id: one.slug for one in organizations.list_organizations()}
    found = db.session.scalars(audit_entries())
    assert [slugs[entry.organization_id] for entry in found] == ["acme", "other"]


def test_log_is_newest_first_in_pages(acme: int) -> None:
    for number in range(audit.PAGE_SIZE + 3):
        audit.record(ADA, acme, "view.save", f"v{number}", now=NOW + timedelta(seconds=number))
        db.session.flush()
    other = organizations.ensure_organization("other", actor=FIXTURES, now=NOW)
    audit.record(ADA, other.id, "view.save", "theirs", now=NOW)
    db.session.flush()

    for read in (audit.list_entries, audit.list_folded):
        page = read(acme)
        rest = read(acme, before=page.before)

        assert subjects(page) == [f"v{number}" for number in range(52, 2, -1)]
        assert subjects(rest) == ["v2", "v1", "v0", "acme"]
        assert rest.before is None


@pytest.mark.parametrize(
    ("search", "found"),
    [("ADA@", ["key", "view"]), ("view.SAVE", ["view"]), ("100%", ["key"]), ("%", ["key"])],
)
def test_log_is_searched_in_all_fields_and_literally(
    acme: int, search: str, found: list[str]
) -> None:
    audit.record(ADA, acme, "view.save", "view", now=NOW)
    audit.record(ADA, acme, "key.create", "key", "100%", now=NOW)
    db.session.flush()

    assert sorted(subjects(audit.list_entries(acme, search=search))) == found


def test_log_is_narrowed_to_a_kind(acme: int) -> None:
    audit.record(KEY, acme, "task.create", "ingested", now=NOW)
    audit.record(ADA, acme, "task.cancel", "cancelled", now=NOW)
    audit.record(KEY, acme, "monitor.create", "nightly", now=NOW)
    db.session.flush()

    found = {kind: subjects(audit.list_entries(acme, kind=kind)) for kind, _ in KINDS}

    assert {kind: names for kind, names in found.items() if names} == {
        INGESTION: ["ingested"],
        "task": ["cancelled"],
        "monitor": ["nightly"],
        "organization": ["acme"],
    }


def test_changes_of_tasks_by_keys_are_folded_between_others(acme: int) -> None:
    for verb, actor, times in (
        ("task.create", KEY, 2),
        ("view.save", ADA, 1),
        ("action.create", Actor("key", "other"), 1),
        ("task.change", KEY, 3),
        ("key.create", KEY, 1),
    ):
        for _ in range(times):
            audit.record(actor, acme, verb, verb, now=NOW)
            db.session.flush()

    page = audit.list_folded(acme)

    assert [fold_of(row) if isinstance(row, Fold) else row.verb for row in page.rows] == [
        "key.create",
        (4, ("ci", "other"), False),
        "view.save",
        (2, ("ci",), False),
        "organization.create",
    ]


def test_page_of_many_changes_reads_a_bounded_number_and_goes_on_after_them(
    acme: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_FOLDED", 5)
    monkeypatch.setattr(audit, "MAX_READS", 1)
    for number in range(20):
        audit.record(KEY, acme, "task.create", f"{number}", now=NOW)
        if number == 9:
            audit.record(ADA, acme, "view.save", "view", now=NOW)
        db.session.flush()

    first = audit.list_folded(acme)
    second = audit.list_folded(acme, before=first.before)
    third = audit.list_folded(acme, before=second.before)

    assert [fold_of(row) for row in first.rows if isinstance(row, Fold)] == [(5, ("ci",), True)]
    assert [getattr(row, "verb", "fold") for row in second.rows] == ["view.save", "fold"]
    assert [row.verb for row in third.rows if isinstance(row, AuditEntry)] == [
        "organization.create"
    ]
    assert third.before is None
    monkeypatch.setattr(audit, "MAX_READS", 10)
    assert audit.list_folded(acme).rows == [*first.rows, *second.rows, *third.rows]


@pytest.mark.parametrize("kind", ["", INGESTION, "task"])
def test_pages_are_read_from_indexes(acme: int, kind: str) -> None:
    def read() -> None:
        if kind:
            audit.list_entries(acme, before=5, kind=kind)
        else:
            audit.list_folded(acme, before=5)

    db.session.flush()
    with count_queries() as statements:
        read()
    plan = plan_of(read)

    assert plan.count("ix_audit_entry") == len(statements) == (1 if kind else 2)
    assert kind or "no_ingestion" in plan
    assert "B-TREE" not in plan
    assert "Sort" not in plan
