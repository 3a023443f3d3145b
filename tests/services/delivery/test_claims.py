"""Claims: who may send what and when."""

import json
from datetime import timedelta

from delivering import (
    NOW,
    SECOND,
    claim,
    finish,
    get,
    make_webhook,
    prove,
    queue,
)
from flask import Flask

from taskbadger.channels import DeliveryError
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import (
    ChannelConfig,
    Delivery,
    Destination,
)
from taskbadger.models.delivery import WAITING
from taskbadger.services.delivery import (
    claims,
    lists,
)


def test_delivery_is_claimed_by_one_worker_only(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)

    assert [one.id for one in claim()] == [queued]
    assert claim() == []
    row = get(queued)
    assert (row.state, row.next_attempt_at) == ("sending", NOW + claims.LEASE)


def test_delivery_is_not_claimed_before_its_time(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queue(project, at=NOW + SECOND)

    assert claim() == []
    assert len(claim(now=NOW + SECOND)) == 1


def test_lease_that_ended_lets_another_worker_send(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    (first,) = claim()
    late = NOW + claims.LEASE

    (second,) = claim(now=late)

    assert (second.id, second.attempts, second.crashes) == (queued, 1, 1)
    assert json.loads(second.message)["id"] == queued
    assert not finish(first, now=late)
    assert get(queued).state == "sending"
    assert finish(second, now=late)
    assert get(queued).state == "delivered"
    assert [attempt.number for attempt in lists.list_attempts(queued)] == [1]


def test_deliveries_of_a_dead_worker_go_before_what_was_queued_meanwhile(
    project: ProjectRef, proven: str
) -> None:
    orphaned = {queue(project) for _ in range(2)}
    assert {one.id for one in claim(2)} == orphaned
    late = NOW + claims.LEASE
    queued = [queue(project, now=late - SECOND, at=late - SECOND * n) for n in (1, 3, 2)]

    first, *rest = [one.id for _ in range(2) for one in claim(1, now=late)]
    others = [one.id for one in claim(now=late)]

    assert {first, *rest} == orphaned
    assert set(others) == set(queued[1:])


def test_new_receiver_gets_one_at_a_time_until_it_took_one(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    for _ in range(10):
        queue(project)

    (first,) = claim()
    assert claim() == []
    finish(first)

    assert len(claim()) == 4
    assert claim() == []


def test_receiver_gets_four_at_once_whoever_claims(
    app: Flask, project: ProjectRef, proven: str
) -> None:
    for _ in range(10):
        queue(project)

    found = [claim(3), claim(3), claim(3)]

    assert [len(one) for one in found] == [3, 1, 0]


def test_receivers_share_the_turns(project: ProjectRef) -> None:
    for slug in ("a", "b", "c"):
        make_webhook(project, slug)
        prove(get(queue(project, f"webhook:{slug}", at=NOW + timedelta(days=1))).destination)
    for _ in range(20):
        queue(project, "webhook:a")
    queue(project, "webhook:b", now=NOW + SECOND)
    queue(project, "webhook:c", now=NOW + SECOND)

    found = [one.integration for one in claim(4, now=NOW + SECOND)]

    assert sorted(found) == ["webhook:a", "webhook:a", "webhook:b", "webhook:c"]


def test_receiver_that_works_goes_before_those_that_fail(project: ProjectRef) -> None:
    for slug in ("bad", "good", "new"):
        make_webhook(project, slug)
        key = get(queue(project, f"webhook:{slug}", now=NOW)).destination
        if slug != "new":
            db.session.add(
                Destination(key=key, proven=slug == "good", failures=3 * (slug == "bad"), seen=NOW)
            )
        db.session.commit()

    order = [claim(1)[0].integration for _ in range(3)]

    assert order == ["webhook:good", "webhook:new", "webhook:bad"]


def kill_workers(project: ProjectRef) -> set[str]:
    """Let a worker die, then another one, then the receiver refuse; return what the first sent."""
    for _ in range(10):
        queue(project)
    first = {one.id for one in claim(2)}
    (refused, *_) = claim(2, now=NOW + 30 * SECOND)
    error = DeliveryError("Busy.", error_class="http_status")
    finish(refused, error, now=NOW + 31 * SECOND)
    return first


def test_workers_that_died_later_do_not_keep_orphans_waiting(
    project: ProjectRef, proven: str
) -> None:
    orphans = kill_workers(project)

    found = [[one.id for one in claim(now=NOW + n * SECOND)] for n in (59, 60, 61, 62)]

    assert [len(each) for each in found] == [0, 1, 1, 0]
    assert {*found[1], *found[2]} == orphans


def test_orphans_come_first_although_their_receiver_seems_busy(
    project: ProjectRef, proven: str
) -> None:
    make_webhook(project, "other")
    for _ in range(4):
        queue(project)
    (orphan,) = claim(1)
    assert len(claim(3, now=NOW + 30 * SECOND)) == 3
    waiting = [queue(project, "webhook:other") for _ in range(3)]
    prove(get(waiting[0]).destination)

    found = [one.id for one in claim(1, now=NOW + 60 * SECOND)]

    assert found == [orphan.id]


def test_an_orphan_is_claimed_by_its_id_where_others_have_no_room(
    project: ProjectRef, proven: str
) -> None:
    orphan, *_ = kill_workers(project)
    waiting = db.session.query(Delivery).filter_by(state=WAITING, attempts=0).first()
    assert waiting is not None

    found = [claims.claim_one(one, now=NOW + 60 * SECOND) for one in (waiting.id, orphan)]
    db.session.commit()

    assert [[one.id for one in each] for each in found] == [[], [orphan]]


def test_published_delivery_is_claimed_by_its_id_once(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)

    found = [claims.claim_one(queued, now=NOW) for _ in range(2)]
    db.session.commit()

    assert [[one.id for one in each] for each in found] == [[queued], []]
