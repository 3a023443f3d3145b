"""The message of a digest: its title, its period and to whom it is written."""

from dataclasses import replace
from datetime import datetime

import pytest
from conftest import count_queries
from services.digests.members import subscribe
from services.digests.reading import BASE_URL, HOME, NOW, add_incident, add_kind, ago
from services.digests.test_deliveries import add as add_delivery

from taskbadger.channels import Message
from taskbadger.domain.digests import Period
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Membership
from taskbadger.services.digests import writing
from taskbadger.services.digests.writing import Reader, find_reader, write_digest


def reader_of(membership: Membership) -> Reader:
    found = find_reader(membership.id)
    assert found is not None
    return found


def write(membership: Membership, base_url: str = BASE_URL) -> Message:
    return write_digest(reader_of(membership), now=NOW, base_url=base_url)


def test_digest_of_a_quiet_day_says_so(project: ProjectRef) -> None:
    membership = subscribe(ago(hours=3), zone="Europe/Berlin")

    message = write(membership)

    assert message == Message(
        id="",
        kind="digest",
        created=NOW,
        organization="acme",
        title="Daily digest: nothing happened",
        url=f"{HOME}/",
        digest={
            "period": "Sun 22 Nov 09:00 to Mon 23 Nov 09:00 (Europe/Berlin)",
            "frequency": "daily",
            "sections": [],
            "account_url": f"{BASE_URL}/account",
            "member": {
                "organization_id": membership.organization_id,
                "user_id": membership.user_id,
            },
        },
    )


def test_title_says_what_matters_most(project: ProjectRef) -> None:
    membership = subscribe(ago(days=3), "weekly")
    add_delivery(project, "dead", ago(hours=1))
    quiet = write(membership).title
    add_incident(project, ago(hours=5), ago(hours=3))
    add_incident(project, ago(hours=2))
    add_incident(project, ago(hours=2), name="other")
    add_kind(project, ago(hours=2), ago(hours=1))

    message = write(membership)

    assert quiet == "Weekly digest: no new failures"
    assert message.title == "Weekly digest: 2 failing, 1 recovered, 1 new kind of failures"
    assert message.digest is not None
    assert message.digest["sections"][1] == {
        "title": "Recovered",
        "entries": (
            {
                "title": "job (web)",
                "detail": "recovered Mon 23 Nov 05:00, after 2 h and 0 failed runs",
                "url": message.digest["sections"][1]["entries"][0]["url"],
            },
        ),
        "count": 1,
        "more": "",
    }


def test_message_survives_the_outbox(project: ProjectRef) -> None:
    add_incident(project, ago(hours=2))
    message = write(subscribe(ago(days=1)))

    stored = Message.from_json(replace(message, id="d1").to_json())

    assert stored.digest is not None
    assert message.digest is not None
    assert stored.digest["sections"][0]["title"] == message.digest["sections"][0]["title"]
    assert stored.digest["member"] == message.digest["member"]


@pytest.mark.parametrize("last", [ago(hours=30), None])
def test_period_is_that_since_the_last_digest(project: ProjectRef, last: datetime | None) -> None:
    membership = subscribe(ago(days=9))
    membership.last_digest_at = last
    db.session.commit()

    assert writing.period_for(reader_of(membership), now=NOW) == Period(last or ago(days=1), NOW)


def test_who_gets_none_sees_a_daily_one(project: ProjectRef) -> None:
    reader = reader_of(subscribe(NOW, "off"))

    assert writing.frequency_of(reader) == "daily"
    assert write_digest(reader, now=NOW, base_url="").title == "Daily digest: nothing happened"


def test_without_the_address_of_the_server_there_are_no_links(project: ProjectRef) -> None:
    message = write(subscribe(NOW), base_url="")

    assert message.digest is not None
    assert (message.url, message.digest["account_url"]) == (None, None)


def test_nobody_is_no_reader(project: ProjectRef) -> None:
    assert find_reader(1) is None


@pytest.mark.parametrize("count", [1, 30])
def test_digest_costs_ten_queries(project: ProjectRef, count: int) -> None:
    for number in range(count):
        add_incident(project, ago(hours=2), name=f"job {number}")
    reader = reader_of(subscribe(NOW))

    with count_queries() as statements:
        write_digest(reader, now=NOW, base_url=BASE_URL)

    assert len(statements) == 10
