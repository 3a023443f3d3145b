"""Sending digests: once for each member and day, whatever happens to workers."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import count_queries
from delivering import claim
from flask import Flask
from people import make_member
from plans import plan_of
from services.digests.members import settings_of, subscribe
from services.digests.reading import BASE_URL, add_incident
from simultaneous import at_once
from sqlalchemy import select

from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db, reading
from taskbadger.models import Delivery, Membership
from taskbadger.services.digests import sending, settings
from taskbadger.services.people import members, users

SATURDAY = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
SUNDAY = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def sweep(now: datetime) -> int:
    """Queue the digests that are due at *now*, as a worker does; return how many were."""
    done = 0
    for membership_id in sending.list_due(now=now, limit=100):
        with reading():
            draft = sending.write_due(membership_id, now=now, base_url=BASE_URL)
        done += draft is not None and sending.queue(draft, now=now)
        db.session.commit()
    return done


def queued() -> list[tuple[str | None, str, str]]:
    """Return the key, the recipient and the period of each digest, oldest first."""
    rows = db.session.execute(
        select(Delivery.key, Delivery.config, Delivery.message)
        .where(Delivery.kind == "digest")
        .order_by(Delivery.id)
    )
    return [
        (row.key, json.loads(row.config)["to"], json.loads(row.message)["digest"]["period"])
        for row in rows
    ]


def key_of(member: Membership, day: str) -> str:
    return f"digest:{member.organization_id}:{member.user_id}:{day}"


def test_digest_is_queued_when_it_is_due_and_the_next_one_begins_there(project: ProjectRef) -> None:
    member = subscribe(SATURDAY)
    early = sweep(SUNDAY - timedelta(microseconds=1))

    first, again = sweep(SUNDAY), sweep(SUNDAY + timedelta(hours=5))
    second = sweep(SUNDAY + DAY + timedelta(minutes=1))

    assert (early, first, again, second) == (0, 1, 0, 1)
    assert queued() == [
        (
            key_of(member, "2026-11-29"),
            "ada@example.org",
            "Sat 28 Nov 08:00 to Sun 29 Nov 08:00 (UTC)",
        ),
        (
            key_of(member, "2026-11-30"),
            "ada@example.org",
            "Sun 29 Nov 08:00 to Mon 30 Nov 08:01 (UTC)",
        ),
    ]
    assert settings_of(member.id) == (
        "daily",
        SUNDAY + 2 * DAY,
        SUNDAY + DAY + timedelta(minutes=1),
    )


def test_outage_leads_to_one_digest_about_all_of_it(project: ProjectRef) -> None:
    member = subscribe(SATURDAY)
    sweep(SUNDAY)
    late = SUNDAY + 4 * DAY + timedelta(hours=3)

    assert (sweep(late), sweep(late)) == (1, 0)

    assert queued()[1:] == [
        (
            key_of(member, "2026-12-03"),
            "ada@example.org",
            "Sun 29 Nov 08:00 to Thu 03 Dec 11:00 (UTC)",
        )
    ]
    assert settings_of(member.id) == ("daily", SUNDAY + 5 * DAY, late)


def test_each_member_has_their_own_time(project: ProjectRef) -> None:
    tokyo = subscribe(SATURDAY, zone="Asia/Tokyo", email="a@example.org")
    york = subscribe(SATURDAY, zone="America/New_York", email="b@example.org")
    weekly = subscribe(SATURDAY, "weekly", email="c@example.org")

    counts = {hour: sweep(SATURDAY + timedelta(hours=hour)) for hour in range(48)}

    assert {hour: count for hour, count in counts.items() if count} == {
        1: 1,
        11: 1,
        25: 1,
        35: 1,
        44: 1,
    }
    assert [key for key, *_ in queued()] == [
        key_of(york, "2026-11-28"),
        key_of(tokyo, "2026-11-29"),
        key_of(york, "2026-11-29"),
        key_of(tokyo, "2026-11-30"),
        key_of(weekly, "2026-11-30"),
    ]


def test_second_digest_of_a_day_is_left_to_the_next_one(project: ProjectRef) -> None:
    member = subscribe(SATURDAY)
    sweep(SUNDAY)
    settings.change_timezone(
        member.user, "America/New_York", actor=SERVER, now=SUNDAY + timedelta(minutes=5)
    )
    db.session.commit()

    sweep(SUNDAY + timedelta(hours=5))

    assert len(queued()) == 1
    assert settings_of(member.id) == ("daily", SUNDAY + DAY + timedelta(hours=5), SUNDAY)


def test_several_workers_queue_it_once(app: Flask, project: ProjectRef) -> None:
    for number in range(4):
        subscribe(SATURDAY, email=f"{number}@example.org")
    with reading():
        drafts = [
            sending.write_due(number, now=SUNDAY, base_url=BASE_URL)
            for number in sending.list_due(now=SUNDAY, limit=100)
        ]
    done: list[bool] = []

    def work() -> None:
        for draft in drafts:
            assert draft is not None
            done.append(sending.queue(draft, now=SUNDAY))
            db.session.commit()

    at_once(app, *[work] * 4)

    assert (sum(done), len(done), len(queued())) == (4, 16, 4)


def test_killed_worker_leaves_the_digest_to_another(project: ProjectRef) -> None:
    member = subscribe(SATURDAY)
    draft = sending.write_due(member.id, now=SUNDAY, base_url=BASE_URL)
    assert draft is not None
    assert sending.queue(draft, now=SUNDAY)
    db.session.rollback()

    assert queued() == []
    assert (sweep(SUNDAY), len(queued())) == (1, 1)


def disable(member: Membership) -> None:
    users.disable_user(member.user, actor=SERVER, now=SATURDAY)


def leave(member: Membership) -> None:
    make_member("owner@example.org")
    members.leave(member, actor=SERVER, now=SATURDAY)


def turn_off(member: Membership) -> None:
    settings.change_digest(member, "off", actor=SERVER, now=SATURDAY)


WAYS: dict[str, tuple[Any, str]] = {
    "disabled": (disable, "the account is disabled"),
    "left": (leave, "the person is no longer a member"),
    "off": (turn_off, "digests were turned off"),
}


@pytest.mark.parametrize("way", WAYS)
def test_who_is_gone_gets_none(project: ProjectRef, way: str) -> None:
    change, _ = WAYS[way]
    change(subscribe(SATURDAY))
    db.session.commit()

    sweep(SUNDAY)

    assert (queued(), sending.list_due(now=SUNDAY, limit=9)) == ([], [])


@pytest.mark.parametrize("way", WAYS)
def test_who_goes_before_it_is_sent_gets_none(project: ProjectRef, way: str) -> None:
    change, reason = WAYS[way]
    member = subscribe(SATURDAY)
    sweep(SUNDAY)
    [claimed] = claim(now=SUNDAY)
    wanted = sending.why_unwanted(claimed)
    change(member)
    db.session.commit()

    assert (wanted, sending.why_unwanted(claimed)) == (None, reason)


def test_settings_that_change_meanwhile_win(project: ProjectRef) -> None:
    member = subscribe(SATURDAY)
    draft = sending.write_due(member.id, now=SUNDAY, base_url=BASE_URL)
    assert draft is not None
    turn_off(member)
    db.session.commit()

    assert sending.queue(draft, now=SUNDAY) is False
    assert queued() == []


def test_address_that_takes_no_mail_is_passed_over(project: ProjectRef) -> None:
    member = subscribe(SATURDAY)
    member.user.email = "ada@example"
    db.session.commit()

    sweep(SUNDAY)

    assert (queued(), settings_of(member.id)) == ([], ("daily", SUNDAY + DAY, None))


def test_whoever_is_left_out_is_not_due(project: ProjectRef) -> None:
    late, other = subscribe(SATURDAY - DAY), subscribe(SATURDAY, email="b@example.org")

    assert sending.list_due(now=SUNDAY, limit=9) == [late.id, other.id]
    assert sending.list_due(now=SUNDAY, limit=1) == [late.id]
    assert sending.list_due(now=SUNDAY, limit=9, without=[late.id]) == [other.id]
    assert sending.write_due(other.id, now=SATURDAY, base_url="") is None
    assert sending.write_due(2**31 - 1, now=SUNDAY, base_url="") is None


def test_what_is_due_is_found_by_an_index(project: ProjectRef) -> None:
    plan = plan_of(lambda: sending.list_due(now=SUNDAY, limit=9))

    assert "ix_membership_next_digest_at" in plan


@pytest.mark.parametrize("count", [1, 25])
def test_digest_costs_the_same_number_of_statements(project: ProjectRef, count: int) -> None:
    membership_id = subscribe(SATURDAY).id
    for number in range(count):
        add_incident(project, SATURDAY, name=f"job {number}")

    with count_queries() as statements:
        draft = sending.write_due(membership_id, now=SUNDAY, base_url=BASE_URL)
        assert draft is not None
        sending.queue(draft, now=SUNDAY)

    assert len(statements) == 14
