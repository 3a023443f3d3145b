"""What is due is found by the index of its time, however many notices there are."""

from datetime import timedelta

import pytest
from incidents import NOW, after, make_incident, make_notice
from plans import plan_of
from sqlalchemy import insert

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import IncidentNotice
from taskbadger.services.incidents import notices


@pytest.fixture
def many(project: ProjectRef) -> None:
    """Many notices with nothing to tell any more, and some that are due later."""
    incident = make_incident(project)
    rows = [
        {"incident_id": incident, "next_at": after(hours=number) if number % 10 == 0 else None}
        for number in range(500)
    ]
    db.session.execute(insert(IncidentNotice), rows)
    db.session.execute(db.text("ANALYZE incident_notice"))
    db.session.commit()


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("without", [(), (1, 2)])
def test_notices_that_are_due_are_walked_in_the_order_of_their_index(without: list[int]) -> None:
    plan = plan_of(lambda: notices.list_due(now=NOW, limit=10, without=without))

    assert "ix_incident_notice_next_at" in plan
    assert not any(word in plan.upper() for word in ("SORT", "TEMP B-TREE", "SEQ SCAN"))


def test_longest_overdue_notice_comes_first(project: ProjectRef) -> None:
    incident = make_incident(project)
    late, later, latest = (
        make_notice(incident, next_at=NOW - timedelta(minutes=minutes)) for minutes in (1, 3, 2)
    )

    assert notices.list_due(now=NOW, limit=2) == [later, latest]
    assert notices.list_due(now=NOW, limit=2, without=[later]) == [latest, late]
