"""The times of orphaned deliveries are computed from claims, which both databases record."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import flask_migrate
import pytest
from conftest import make_project, settings
from delivering import NOW, SECOND, claim, finish, make_webhook, queue
from faults.orphans import Claim, Orphan, find_orphans, read_claims, record_claims

from taskbadger.app import create_app
from taskbadger.extensions import db, writing
from taskbadger.services.delivery.claims import LEASE


@pytest.fixture
def recorded(new_database: Callable[[], str]) -> Iterator[None]:
    """An application on a database of its own that records all claims."""
    app = create_app(settings(DATABASE_URL=new_database()))
    with app.app_context(), writing():
        flask_migrate.upgrade()
        record_claims()
        db.session.commit()
        yield
        db.session.remove()
        db.engine.dispose()


def test_each_claim_is_recorded(recorded: None) -> None:
    project = make_project()
    make_webhook(project, "ops")
    queued = queue(project)
    claim()
    (second,) = claim(now=NOW + LEASE)
    assert finish(second, now=NOW + LEASE)

    assert read_claims() == [
        Claim(queued, 0, NOW + LEASE),
        Claim(queued, 1, NOW + 2 * LEASE),
    ]


def test_only_deliveries_whose_worker_died_are_orphans() -> None:
    claims = [
        Claim("sent", 0, NOW),
        Claim("retried", 0, NOW),
        Claim("orphaned", 0, NOW),
        Claim("retried", 0, NOW + 5 * SECOND),
        Claim("orphaned", 1, NOW + 61 * SECOND),
    ]

    found = list(find_orphans(claims, timedelta(seconds=60), [NOW - SECOND]))

    assert found == [Orphan(NOW + SECOND, waited=61 * SECOND, late=SECOND)]


def test_orphan_is_not_late_while_nobody_is_there_to_send_it() -> None:
    claims = [Claim("orphaned", 0, NOW), Claim("orphaned", 1, NOW + 75 * SECOND)]
    present = [NOW - SECOND, NOW + 12 * SECOND, NOW + 16 * SECOND]

    found = list(find_orphans(claims, timedelta(seconds=60), present))

    assert found == [Orphan(NOW + 15 * SECOND, waited=75 * SECOND, late=3 * SECOND)]
