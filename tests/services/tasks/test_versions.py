"""Versions of what pages show of tasks."""

from services.tasks.searching import ADA, NOW, filters_of

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.tasks import versions, write
from taskbadger.services.tasks.search.pages import search_tasks


def test_version_changes_with_every_change_of_a_task(many: list[ProjectRef]) -> None:
    before = versions.last_change(many)
    filters = filters_of("queue:high")
    [row] = search_tasks(many, filters, None, 1).rows

    write.update_task(many[0], row.id, {"value": 5}, now=NOW, actor=ADA)
    db.session.commit()

    assert versions.last_change(many) != before
    assert versions.last_change([]) == ""
