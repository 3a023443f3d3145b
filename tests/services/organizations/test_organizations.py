"""Organizations and slugs."""

import pytest
from conftest import FIXTURES, audit_entries
from flask import Flask

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.services.organizations import organizations

PLUGIN = Actor("plugin", "importer")
NOW = utcnow()


def test_missing_organization_is_created_once_with_an_entry(app: Flask) -> None:
    made = organizations.ensure_organization("acme", actor=PLUGIN, now=NOW)
    found = organizations.ensure_organization("acme", actor=PLUGIN, now=NOW, name="Other")
    named = organizations.ensure_organization("shop", actor=PLUGIN, now=NOW, name="The Shop")

    assert found is made
    assert [(one.slug, one.name) for one in organizations.list_organizations()] == [
        ("acme", "acme"),
        ("shop", "The Shop"),
    ]
    assert named.created == NOW
    entries = db.session.scalars(audit_entries())
    assert [
        (one.organization_id, one.actor_name, one.verb, one.subject, one.detail) for one in entries
    ] == [
        (made.id, "importer", "organization.create", "acme", "acme"),
        (named.id, "importer", "organization.create", "shop", "The Shop"),
    ]


def test_plain_call_that_renames_leaves_an_entry(app: Flask) -> None:
    made = organizations.ensure_organization("acme", actor=FIXTURES, now=NOW)

    organizations.rename_organization(made, "Acme Ltd", actor=PLUGIN, now=NOW)
    organizations.rename_organization(made, "Acme Ltd", actor=PLUGIN, now=NOW)
    db.session.flush()

    assert (made.slug, made.name) == ("acme", "Acme Ltd")
    [entry] = db.session.scalars(audit_entries())
    assert (entry.actor_type, entry.actor_name) == ("plugin", "importer")
    assert (entry.verb, entry.subject, entry.detail) == (
        "organization.rename",
        "acme",
        "name: acme → Acme Ltd",
    )


@pytest.mark.parametrize("slug", ["a", "a-b_c", "0", "a" * 50])
def test_slug_that_fits(slug: str) -> None:
    assert organizations.checked_slug(slug) == slug


@pytest.mark.parametrize("slug", ["", "-", "a-", "_a", "A", "a b", "é", "a/b", "a\x00b", "a" * 51])
def test_slug_that_does_not_fit_is_refused(slug: str) -> None:
    assert not organizations.is_slug(slug)
    with pytest.raises(ValidationFailed) as caught:
        organizations.checked_slug(slug)
    assert [(one.attr, one.code) for one in caught.value.errors] == [("slug", "invalid")]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Web Shop", "web-shop"),
        ("  Ünïcode & Söhne ", "unicode-sohne"),
        ("--", "main"),
        ("東京", "main"),
        ("x" * 49 + " y", "x" * 49),
    ],
)
def test_slug_made_from_a_name(name: str, slug: str) -> None:
    assert organizations.slug_for(name) == slug
    assert organizations.is_slug(slug)


@pytest.mark.parametrize("slug", ["v1", "v2", "v3"])
def test_new_organization_is_not_called_like_a_version_of_an_api(app: Flask, slug: str) -> None:
    with pytest.raises(ValidationFailed, match="is reserved"):
        organizations.ensure_organization(slug, actor=PLUGIN, now=NOW)

    assert organizations.list_organizations() == []
    assert organizations.organization_slug_for(slug.upper()) == f"{slug}-2"
    assert organizations.organization_slug_for("V4") == "v4"
