"""Reading deliveries: lists and their filters, one delivery, and its version."""

from datetime import timedelta

import pytest
from conftest import make_project
from delivering import NOW, TIMED_OUT, claim, finish, get, queue

from taskbadger.clock import to_wire
from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.models import ChannelConfig
from taskbadger.services.delivery import lists
from taskbadger.services.delivery.lists import Filters


@pytest.mark.parametrize(
    ("parameters", "attrs"),
    [
        ({"state": "waiting,gone"}, ["state"]),
        ({"task": "nothing"}, ["task"]),
        ({"since": "yesterday"}, ["since"]),
        ({"channel": "a\x00b"}, ["channel"]),
        ({"state": "gone", "since": "never"}, ["state", "since"]),
    ],
)
def test_wrong_filters_are_all_named(parameters: dict[str, str], attrs: list[str]) -> None:
    with pytest.raises(ValidationFailed) as raised:
        lists.read_filters(parameters)

    assert [error.attr for error in raised.value.errors] == attrs


def test_filters_are_read() -> None:
    read = lists.read_filters(
        {"state": "waiting,dead", "channel": "webhook:ops", "since": to_wire(NOW)}
    )

    assert read == Filters(("waiting", "dead"), "webhook:ops", since=NOW)


def test_filters_narrow_the_list(project: ProjectRef, webhook: ChannelConfig) -> None:
    retried = queue(project)
    finish(claim()[0], TIMED_OUT)
    later = NOW + timedelta(days=1)
    mail = queue(project, "email", at=later, now=later)
    queue(make_project("globex"), "email")

    def ids(filters: Filters) -> list[str]:
        page = lists.list_deliveries(project.organization_id, filters, None, 10)
        return [row.id for row in page.rows]

    assert ids(Filters()) == [mail, retried]
    assert ids(Filters(retrying=True)) == [retried]
    assert ids(Filters(channel="email")) == [mail]
    assert ids(Filters(states=("dead",))) == []
    assert ids(Filters(since=later)) == [mail]


def test_version_changes_with_the_delivery(project: ProjectRef, webhook: ChannelConfig) -> None:
    queued, number = queue(project), project.organization_id
    before = lists.find_version(number, queued)
    finish(claim()[0], TIMED_OUT)

    assert lists.find_version(number, queued) != before
    assert [attempt.error_class for attempt in lists.list_attempts(queued)] == ["timeout"]


def test_delivery_of_another_organization_is_not_found(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued, foreign = queue(project), make_project("globex").organization_id

    for look_up in (lists.get_delivery, lists.find_version):
        with pytest.raises(NotFound):
            look_up(foreign, queued)
        with pytest.raises(NotFound):
            look_up(foreign, "nothing")
    assert lists.about_of([get(queued)]) == {queued: lists.About("job", None)}
