"""Cancelling selected tasks."""

from conftest import make_project
from services.tasks.searching import ADA, NOW, found_names, make_task

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.tasks.filters import Filters
from taskbadger.services.tasks.search.cancelling import cancel_selected
from taskbadger.services.tasks.search.pages import search_tasks


def test_selected_tasks_are_cancelled_where_they_are_open(many: list[ProjectRef]) -> None:
    foreign = make_task(make_project("other", "web"), "y foreign")
    everything = search_tasks(many, Filters(), None, 100).rows
    chosen = [row.id for row in everything] + [foreign.id, "nonsense", everything[0].id]

    number = cancel_selected(many, chosen, now=NOW, actor=ADA)
    db.session.commit()

    assert number == 4
    assert sorted(name[0] for name in found_names(many, "status:cancelled")) == list("aefg")
    assert found_names([make_project("other", "web")], "status:pending") == ["y foreign"]
