"""Making, finding and revoking API keys."""

from datetime import timedelta

import pytest
from conftest import make_project
from flask import Flask
from managing import audited
from sqlalchemy import select

from taskbadger.caches import TimedCache
from taskbadger.clock import utcnow
from taskbadger.domain.identity import Access, Actor
from taskbadger.errors import AuthenticationFailed, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import ApiKey, AuditEntry, Organization, Project
from taskbadger.services.organizations import keys

PLUGIN = Actor("plugin", "importer")
NOW = utcnow().replace(microsecond=0)


@pytest.fixture
def organization(app: Flask) -> Organization:
    make_project()
    return db.session.scalars(select(Organization)).one()


def the_project() -> Project:
    return db.session.scalars(select(Project).where(Project.slug == "web")).one()


def last_detail() -> str:
    return db.session.scalars(select(AuditEntry.detail).order_by(AuditEntry.id.desc())).first()


def test_plain_call_leaves_one_entry_for_a_new_key(organization: Organization) -> None:
    key, secret = keys.create_key(organization, the_project(), name="ci", actor=PLUGIN, now=NOW)
    prefix = key.prefix
    db.session.commit()

    assert audited() == [("plugin", "importer", "key.create", "ci")]
    assert last_detail() == f"{prefix}, ingest,read, web"
    assert secret not in last_detail()


def test_entry_of_an_organization_key_says_so(organization: Organization) -> None:
    key, _ = keys.create_key(organization, None, name="ci", scopes="admin", actor=PLUGIN, now=NOW)
    db.session.flush()

    assert last_detail() == f"{key.prefix}, admin, all projects"


def test_unknown_scopes_make_no_key_and_no_entry(organization: Organization) -> None:
    for scopes in ("root", "", " , "):
        with pytest.raises(ValidationFailed):
            keys.create_key(organization, None, name="x", scopes=scopes, actor=PLUGIN, now=NOW)

    assert db.session.scalars(select(ApiKey)).all() == []
    assert audited() == []


def test_revoking_twice_leaves_one_entry(organization: Organization) -> None:
    key, _ = keys.create_key(organization, None, name="ci", actor=PLUGIN, now=NOW)

    keys.revoke_key(key, actor=PLUGIN, now=NOW)
    keys.revoke_key(key, actor=PLUGIN, now=NOW + timedelta(hours=1))
    db.session.commit()

    assert key.revoked == NOW
    assert [entry[2:] for entry in audited()] == [("key.create", "ci"), ("key.revoke", "ci")]


def test_key_of_one_project_is_not_found_from_another(organization: Organization) -> None:
    other = make_project("acme", "shop")
    key, _ = keys.create_key(organization, the_project(), name="ci", actor=PLUGIN, now=NOW)
    shared, _ = keys.create_key(organization, None, name="all", actor=PLUGIN, now=NOW)
    number = organization.id

    assert keys.find_key(number, key.id) is key
    assert keys.find_key(number, key.id, project_id=the_project().id) is key
    for key_id, project_id in ((key.id, other.id), (shared.id, other.id), (None, None)):
        with pytest.raises(NotFound):
            keys.find_key(number, key_id, project_id=project_id)
    with pytest.raises(NotFound):
        keys.find_key(number + 1, key.id)


def test_page_of_keys_is_oldest_first_and_may_be_of_one_project(organization: Organization) -> None:
    project = the_project()
    for name, opened in (("a", project), ("b", None), ("c", project)):
        keys.create_key(organization, opened, name=name, actor=PLUGIN, now=NOW)

    everything = keys.page_of_keys(organization.id, None, 2)
    own = keys.page_of_keys(organization.id, None, 5, project_id=project.id)

    assert [key.name for key in everything.rows] == ["a", "b"]
    assert everything.next is not None
    assert [key.name for key in own.rows] == ["a", "c"]


def test_authentication_tells_what_a_key_opens(organization: Organization) -> None:
    key, secret = keys.create_key(
        organization, None, name="ci", scopes="admin,read", actor=PLUGIN, now=NOW
    )
    db.session.commit()

    access = keys.authenticate(secret, TimedCache(60.0), now=NOW)

    assert access == Access(
        key_id=key.id,
        actor=access.actor,
        organization_id=organization.id,
        organization="acme",
        project=None,
        scopes=frozenset({"read", "admin"}),
        digest=key.digest,
        last_used=None,
    )
    assert (access.actor.type, access.actor.name) == ("key", "ci")


@pytest.mark.parametrize("trouble", ["revoked", "expires"])
def test_key_that_is_over_opens_nothing(organization: Organization, trouble: str) -> None:
    key, secret = keys.create_key(organization, None, name="ci", actor=PLUGIN, now=NOW)
    setattr(key, trouble, NOW)
    db.session.commit()

    with pytest.raises(AuthenticationFailed):
        keys.authenticate(secret, TimedCache(60.0), now=NOW)


def test_organization_key_opens_its_projects_only(organization: Organization) -> None:
    _, secret = keys.create_key(organization, None, name="ci", actor=PLUGIN, now=NOW)
    make_project("other", "secret")
    cache = TimedCache(60.0)
    access = keys.authenticate(secret, cache, now=NOW)

    assert keys.open_project(access, "acme", "web", cache).slug == "web"
    for target in (("acme", "nope"), ("other", "secret"), ("acme", "a\x00b")):
        with pytest.raises(NotFound):
            keys.open_project(access, *target, cache)
    with pytest.raises(NotFound):
        keys.open_organization(access, "other")
