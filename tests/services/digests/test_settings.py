"""What members choose: when their digests are due then, and who may turn them off."""

from datetime import UTC, datetime

import pytest
from conftest import SECRET_KEY, audit_entries
from flask import Flask
from people import make_member
from services.digests.members import settings_of, subscribe
from sqlalchemy import select

from taskbadger.domain.digest_links import DigestLink, write_token
from taskbadger.domain.identity import Actor
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Membership, User
from taskbadger.services.digests import settings

ADA = Actor("user", "ada@example.org")
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
"""A Saturday."""


def utc(day: int, hour: int, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def audited() -> list[tuple[str, str, str, str]]:
    entries = db.session.scalars(audit_entries()).all()
    return [(one.actor_name, one.verb, one.subject, one.detail) for one in entries]


def test_members_get_none_unless_they_ask(app: Flask) -> None:
    user = make_member()

    [membership] = user.memberships

    assert settings_of(membership.id) == ("off", None, None)
    assert user.timezone == "UTC"


@pytest.mark.parametrize(
    ("frequency", "zone", "due"),
    [
        ("daily", "UTC", utc(29, 8)),
        ("weekly", "UTC", utc(30, 8)),
        ("daily", "America/New_York", utc(28, 13)),
        ("weekly", "Asia/Tokyo", utc(29, 23)),
        ("off", "Asia/Tokyo", None),
    ],
)
def test_choice_says_when_the_next_is_due(
    app: Flask, frequency: str, zone: str, due: datetime | None
) -> None:
    membership = subscribe(NOW, frequency, zone=zone)

    assert settings_of(membership.id) == (frequency, due, None)


def test_change_is_recorded_and_keeps_where_the_next_digest_begins(app: Flask) -> None:
    membership = subscribe(NOW)
    membership.last_digest_at = NOW
    settings.change_digest(membership, "weekly", actor=ADA, now=NOW)
    settings.change_digest(membership, "weekly", actor=ADA, now=NOW)
    db.session.commit()
    weekly = settings_of(membership.id)
    settings.change_digest(membership, "off", actor=ADA, now=NOW)
    db.session.commit()

    assert (weekly, settings_of(membership.id)) == (
        ("weekly", utc(30, 8), NOW),
        ("off", None, None),
    )
    assert audited() == [
        (ADA.name, "member.change-digest", ADA.name, "digest: daily → weekly"),
        (ADA.name, "member.change-digest", ADA.name, "digest: weekly → off"),
    ]


def test_zone_moves_all_digests_of_a_person(app: Flask) -> None:
    first = subscribe(NOW, organization="acme")
    second = subscribe(NOW, "weekly", organization="other")
    user = db.session.scalars(select(User)).one()

    settings.change_timezone(user, "Asia/Tokyo", actor=ADA, now=NOW)
    settings.change_timezone(user, "Asia/Tokyo", actor=ADA, now=NOW)
    db.session.commit()

    assert settings_of(first.id) == ("daily", utc(28, 23), None)
    assert settings_of(second.id) == ("weekly", utc(29, 23), None)
    detail = "timezone: UTC → Asia/Tokyo"
    assert audited() == [(ADA.name, "user.change-timezone", ADA.name, detail)] * 2


@pytest.mark.parametrize("frequency", ["hourly", "", "DAILY"])
def test_other_frequencies_are_refused(app: Flask, frequency: str) -> None:
    membership = subscribe(NOW)

    with pytest.raises(ValidationFailed) as caught:
        settings.change_digest(membership, frequency, actor=ADA, now=NOW)

    [error] = caught.value.errors
    message = f'"{frequency}" is not a valid choice.'
    assert (error.attr, error.code, error.detail) == ("digest", "invalid_choice", message)
    assert settings_of(membership.id) == ("daily", utc(29, 8), None)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "localtime", "../etc/passwd"])
def test_unknown_zones_are_refused(app: Flask, zone: str) -> None:
    membership = subscribe(NOW)

    with pytest.raises(ValidationFailed) as caught:
        settings.change_timezone(membership.user, zone, actor=ADA, now=NOW)

    [error] = caught.value.errors
    assert error.attr == "timezone"
    assert error.detail == f'"{zone}" is unknown; use an IANA name such as Europe/Paris or UTC.'
    assert membership.user.timezone == "UTC"


def test_address_that_takes_no_mail_gets_no_digests(app: Flask) -> None:
    [membership] = make_member("ada@example").memberships

    with pytest.raises(ValidationFailed) as caught:
        settings.change_digest(membership, "daily", actor=ADA, now=NOW)

    assert [error.detail for error in caught.value.errors] == [
        "No mail can be sent to ada@example."
    ]
    assert settings.why_unreachable("ada@example.org") is None


def test_membership_of_somebody_else_is_not_found(app: Flask) -> None:
    mine = subscribe(NOW)
    other = subscribe(NOW, email="bob@example.org")

    assert settings.find_own(mine.user_id, mine.id) is mine
    for number in (other.id, 2**31 - 1):
        with pytest.raises(NotFound):
            settings.find_own(mine.user_id, number)


def token_of(membership: Membership, key: str = SECRET_KEY) -> str:
    return write_token(DigestLink(membership.organization_id, membership.user_id), key)


def test_link_turns_off_the_digests_of_one_member_in_one_organization(app: Flask) -> None:
    mine = subscribe(NOW)
    elsewhere = subscribe(NOW, organization="other")
    other = subscribe(NOW, email="bob@example.org")
    token = token_of(mine)

    found = settings.find_subscription(token, SECRET_KEY)
    assert found is not None
    assert (found.membership, found.email, found.organization) == (mine, ADA.name, "acme")
    settings.unsubscribe(found, now=NOW)
    settings.unsubscribe(found, now=NOW)
    db.session.commit()

    assert [settings_of(each.id)[0] for each in (mine, elsewhere, other)] == [
        "off",
        "daily",
        "daily",
    ]
    assert audited() == [(ADA.name, "member.change-digest", ADA.name, "digest: daily → off")]
    [entry] = db.session.scalars(audit_entries())
    assert entry.actor_type == "link"


def test_link_of_who_left_or_of_another_server_is_nothing(app: Flask) -> None:
    mine, gone = subscribe(NOW), subscribe(NOW, email="bob@example.org")
    old = token_of(gone)
    db.session.delete(gone)
    db.session.commit()

    foreign = token_of(mine, "another key, as long as this one")
    for token in (old, foreign, "", "x", token_of(mine)[:-3]):
        assert settings.find_subscription(token, SECRET_KEY) is None
