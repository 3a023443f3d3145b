"""Signed links of messages: what one would do, and that it does it once."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest
from conftest import SECRET_KEY, audit_entries
from flask import Flask
from incidents import ANNA, NOW, after, events, get_incident, make_incident
from simultaneous import at_once
from sqlalchemy import delete, select

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.incident_links import IncidentLink, write_token
from taskbadger.extensions import db
from taskbadger.models import Incident, UsedLink
from taskbadger.services.incidents import handling, links
from taskbadger.services.incidents.links import LinkState, OpenedLink

LATER = after(minutes=10)


@pytest.fixture
def number(project: ProjectRef) -> int:
    """An open incident."""
    return make_incident(project)


def link_to(number: int, operation: str = "acknowledge") -> IncidentLink:
    return IncidentLink(operation, number, "anna@example.com", "d1")


def token_of(link: IncidentLink, *, sent: datetime = NOW, key: str = SECRET_KEY) -> str:
    return write_token(link, key, now=sent)


def opened(token: str, now: datetime = LATER) -> OpenedLink:
    db.session.rollback()
    return links.open_link(token, SECRET_KEY, now=now)


def used(token: str, now: datetime = LATER, until: datetime | None = None) -> LinkState:
    state = links.use_link(token, SECRET_KEY, snooze_until=until, now=now).state
    db.session.commit()
    return state


def test_open_link_says_what_it_would_do_and_changes_nothing(number: int) -> None:
    found = opened(token_of(link_to(number)))

    assert (found.state, found.link, found.organization, found.used_at) == (
        LinkState.USABLE,
        link_to(number),
        "acme",
        None,
    )
    assert found.listed is not None
    assert (found.listed.incident.id, found.listed.subject) == (number, "import")
    assert (events(), db.session.scalars(select(UsedLink)).all()) == ([], [])


def test_link_acknowledges_once_in_the_name_of_whom_it_was_sent_to(number: int) -> None:
    token = token_of(link_to(number))

    states = [used(token), used(token, after(minutes=20))]

    assert states == [LinkState.USABLE, LinkState.USED]
    assert get_incident(number).acknowledged_by == "anna@example.com"
    assert events() == [("acknowledged", "anna@example.com", "")]
    [entry] = db.session.scalars(audit_entries())
    assert (entry.actor_type, entry.actor_name, entry.verb) == (
        "link",
        "anna@example.com",
        "incident.acknowledge",
    )
    assert opened(token).used_at == LATER


@pytest.mark.parametrize("until", [None, after(hours=1)])
def test_link_snoozes(number: int, until: datetime | None) -> None:
    assert used(token_of(link_to(number, "snooze")), until=until) == LinkState.USABLE

    row = get_incident(number)
    assert (row.snoozed_at, row.snoozed_until) == (LATER, until)


def test_repeated_message_has_no_second_use(number: int) -> None:
    first = token_of(link_to(number))
    second = token_of(link_to(number), sent=after(minutes=5))
    assert first != second
    used(first)

    assert used(second) == LinkState.USED


def test_links_of_one_message_are_used_each_for_itself(number: int) -> None:
    own, snooze = token_of(link_to(number)), token_of(link_to(number, "snooze"))
    bobs = token_of(replace(link_to(number), person="bob@example.com"))

    assert [used(token) for token in (own, snooze, bobs)] == [LinkState.USABLE] * 3


@pytest.mark.parametrize(
    ("age", "state"),
    [
        (timedelta(hours=72, seconds=-1), LinkState.USABLE),
        (timedelta(hours=72), LinkState.EXPIRED),
        (timedelta(days=400), LinkState.EXPIRED),
    ],
)
def test_link_is_valid_for_72_hours(number: int, age: timedelta, state: LinkState) -> None:
    token = token_of(link_to(number))

    assert opened(token, NOW + age).state == state
    assert used(token, NOW + age) == state
    assert len(events()) == (state is LinkState.USABLE)


def test_link_to_a_closed_incident_does_nothing(project: ProjectRef) -> None:
    token = token_of(link_to(make_incident(project, closed_at=NOW)))

    assert (opened(token).state, used(token)) == (LinkState.CLOSED, LinkState.CLOSED)
    assert events() == []


@pytest.mark.parametrize("key", [SECRET_KEY[::-1], "x" * 32])
def test_link_of_another_key_is_invalid(number: int, key: str) -> None:
    token = token_of(link_to(number), key=key)

    assert opened(token) == OpenedLink(LinkState.INVALID)
    assert (used(token), events()) == (LinkState.INVALID, [])


@pytest.mark.parametrize("token", ["", "x", "a.b", "ü"])
def test_forged_link_is_invalid(number: int, token: str) -> None:
    assert (opened(token).state, used(token)) == (LinkState.INVALID, LinkState.INVALID)


def test_link_to_a_deleted_incident_is_invalid(number: int) -> None:
    token = token_of(link_to(number))
    db.session.execute(delete(Incident))
    db.session.commit()

    assert used(token) == LinkState.INVALID


def test_link_used_twice_at_once_does_it_once(app: Flask, number: int) -> None:
    token = token_of(link_to(number))
    use = partial(links.use_link, token, SECRET_KEY, snooze_until=None, now=LATER)

    at_once(app, *[use] * 4)

    assert events() == [("acknowledged", "anna@example.com", "")]


def test_used_links_are_forgotten_after_90_days(number: int, project: ProjectRef) -> None:
    token = token_of(link_to(number))
    used(token)
    handling.unacknowledge(project.organization_id, number, actor=ANNA, now=LATER)
    db.session.commit()

    assert links.purge(now=LATER + links.KEPT) == 0
    assert links.purge(now=LATER + links.KEPT + timedelta(seconds=1)) == 1
    assert db.session.scalars(select(UsedLink)).all() == []


def test_no_more_links_are_forgotten_at_once_than_asked_for(app: Flask) -> None:
    db.session.add_all([UsedLink(digest=str(number), used_at=NOW) for number in range(3)])
    db.session.commit()
    later = NOW + links.KEPT * 2

    assert [links.purge(now=later, limit=2) for _ in range(3)] == [2, 1, 0]
