"""The timeline of incidents."""

from alerting import NOW
from incidents import make_incident
from services.incidents.happening import timeline as entries

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.incidents import timeline


def test_entries_are_written_in_order(project: ProjectRef) -> None:
    number = make_incident(project)
    timeline.write(
        [
            timeline.entry(number, NOW, "opened", "boom"),
            timeline.entry(number, NOW, "recovered"),
        ]
    )
    db.session.commit()

    assert entries() == [("opened", "boom"), ("recovered", "")]


def test_nothing_is_written_for_nothing(project: ProjectRef) -> None:
    timeline.write([])

    assert entries() == []
