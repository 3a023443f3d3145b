"""Whom a person from the identity provider becomes. The protocol is tested with the pages."""

import socket
import threading
import time
from datetime import timedelta

import pytest
from conftest import FIXTURES, audit_entries
from flask import Flask
from people import make_member
from sqlalchemy import select

from taskbadger.caches import TimedCache
from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor
from taskbadger.extensions import db
from taskbadger.models import Identity, Membership, User
from taskbadger.services.organizations import organizations
from taskbadger.services.people import invitations, oidc, users
from taskbadger.services.people.oidc import Person, Provider, SignOnFailed

NOW = utcnow()
ADA = Person("https://id.example", "42", "ada@example.org", "Ada")


def entries() -> list[tuple[str, str, str, str]]:
    db.session.flush()
    found = db.session.scalars(audit_entries())
    return [(one.actor_name, one.verb, one.subject, one.detail) for one in found]


def test_first_sign_on_links_the_user_and_leaves_one_entry(app: Flask) -> None:
    user = make_member("ada@example.org")

    assert oidc.find_user(ADA, now=NOW) is user
    assert oidc.find_user(ADA, now=NOW) is user

    [identity] = db.session.scalars(select(Identity))
    assert (identity.user_id, identity.issuer, identity.subject) == (user.id, ADA.issuer, "42")
    assert entries() == [
        ("ada@example.org", "user.link-sign-on", "ada@example.org", "https://id.example")
    ]


def test_linked_user_is_found_by_subject_after_the_address_changed(app: Flask) -> None:
    user = make_member("ada@example.org")
    oidc.find_user(ADA, now=NOW)
    moved = Person(ADA.issuer, "42", "ada@new.example", "Ada")
    impostor = Person("https://other.example", "42", "eve@example.org", "Eve")

    assert oidc.find_user(moved, now=NOW) is user
    with pytest.raises(SignOnFailed):
        oidc.find_user(impostor, now=NOW)


def test_invited_person_becomes_a_member_of_each_organization(app: Flask) -> None:
    for slug in ("acme", "other"):
        invitations.invite(
            organizations.ensure_organization(slug, actor=FIXTURES, now=NOW),
            email="ada@example.org",
            role="member",
            lasting=timedelta(days=1),
            actor=Actor("plugin", "importer"),
            actor_role="owner",
            now=NOW,
        )

    user = oidc.find_user(ADA, now=NOW)

    assert (user.email, user.name, user.password_hash) == ("ada@example.org", "Ada", None)
    assert db.session.scalars(select(Membership.role)).all() == ["member", "member"]
    assert [entry[1] for entry in entries()] == [
        "member.invite",
        "member.invite",
        "member.join",
        "member.join",
        "user.link-sign-on",
        "user.link-sign-on",
    ]


def test_person_who_was_not_invited_is_refused(app: Flask) -> None:
    with pytest.raises(SignOnFailed, match=r"ada@example\.org"):
        oidc.find_user(ADA, now=NOW)

    assert db.session.scalars(select(User)).all() == []


def test_disabled_user_is_refused(app: Flask) -> None:
    users.disable_user(make_member("ada@example.org"), actor=Actor("plugin", "x"), now=NOW)

    with pytest.raises(SignOnFailed, match="disabled"):
        oidc.find_user(ADA, now=NOW)


def test_provider_that_does_not_answer_is_not_cached() -> None:
    provider = Provider("http://127.0.0.1:1", "id", "secret", "http://127.0.0.1/callback")
    known: oidc.MetadataCache = TimedCache(600.0)

    with pytest.raises(SignOnFailed, match="cannot be reached"):
        oidc.begin(provider, known)

    assert len(known) == 0


def test_name_server_that_hangs_holds_no_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    provider = Provider("https://id.example", "id", "secret", "http://127.0.0.1/callback")

    def hang(*_: object, **__: object) -> list[object]:
        released.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(oidc, "TIMEOUT_SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(SignOnFailed, match="cannot be reached"):
        oidc.begin(provider, TimedCache(600.0))
    released.set()

    assert time.monotonic() - began < 30


def test_answer_without_what_was_kept_is_refused() -> None:
    provider = Provider("http://127.0.0.1:1", "id", "secret", "http://127.0.0.1/callback")
    kept = {"state": "s", "nonce": "n", "verifier": "v"}
    known: oidc.MetadataCache = TimedCache(600.0)

    for wrong, answer in (({}, {"state": "s"}), (kept, {"state": "x"}), (kept, {"state": "s"})):
        with pytest.raises(SignOnFailed):
            oidc.finish(provider, known, wrong, answer)
