"""Messages, as a scrape shows them."""

from datetime import timedelta

from conftest import make_project
from delivering import NOW, SECOND, make_webhook, queue

from taskbadger.channels import MESSAGE_KINDS
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.delivery import claims, outcomes
from taskbadger.services.metrics import deliveries
from taskbadger.services.metrics.deliveries import OpenDeliveries
from taskbadger.services.metrics.scope import Scope
from taskbadger.services.stats import delivery_counts

NONE = dict.fromkeys(MESSAGE_KINDS, OpenDeliveries(0, 0.0))
LATER = NOW + timedelta(minutes=1)


def test_open_messages_are_counted_by_kind(project: ProjectRef) -> None:
    stranger = make_project("globex")
    make_webhook(project, "ops")
    make_webhook(stranger, "ops")
    queue(project, now=NOW - 30 * SECOND)
    queue(project)
    queue(stranger, now=NOW - 40 * SECOND)
    [claimed] = claims.claim_one(queue(project, now=NOW - 90 * SECOND), now=NOW)
    outcomes.finish(claimed, None, started=NOW, now=NOW)
    db.session.commit()

    own = Scope(project.organization_id)
    assert deliveries.read_open(own, now=NOW) == {**NONE, "task": OpenDeliveries(2, 30.0)}
    assert deliveries.read_open(Scope(), now=NOW) == {**NONE, "task": OpenDeliveries(3, 40.0)}


def test_attempts_are_at_zero_until_there_are_any(project: ProjectRef) -> None:
    make_webhook(project, "ops")
    zero = {(kind, how): 0 for kind in MESSAGE_KINDS for how in ("delivered", "failed")}
    assert deliveries.read_attempts(Scope()) == zero

    [claimed] = claims.claim_one(queue(project), now=NOW)
    outcomes.finish(claimed, None, started=NOW, now=NOW)
    batch = delivery_counts.read_batch(now=LATER)
    assert batch is not None
    delivery_counts.count_batch(batch, now=LATER)
    db.session.commit()

    one = {**zero, ("task", "delivered"): 1}
    assert deliveries.read_attempts(Scope()) == one
    assert deliveries.read_attempts(Scope(project.organization_id)) == one
    assert deliveries.read_attempts(Scope(make_project("globex").organization_id)) == zero
