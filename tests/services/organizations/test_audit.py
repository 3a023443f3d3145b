"""Recording changes, and reading the audit log."""

from datetime import timedelta

import pytest
from conftest import FIXTURES, audit_entries
from flask import Flask
from people import make_member

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor
from taskbadger.extensions import db
from taskbadger.services.organizations import audit, organizations

ADA = Actor("user", "ada@example.org")
NOW = utcnow().replace(microsecond=0)


@pytest.fixture
def acme(app: Flask) -> int:
    return organizations.ensure_organization("acme", actor=FIXTURES, now=NOW).id


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

    page = audit.list_entries(acme)
    rest = audit.list_entries(acme, before=page[audit.PAGE_SIZE - 1].id)

    assert len(page) == audit.PAGE_SIZE + 1
    assert (page[0].subject, page[-1].subject) == ("v52", "v2")
    assert [entry.subject for entry in rest] == ["v2", "v1", "v0", "acme"]


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

    assert sorted(entry.subject for entry in audit.list_entries(acme, search=search)) == found
