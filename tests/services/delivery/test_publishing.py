"""What a broker is told of, and when again."""

from datetime import timedelta

from delivering import NOW, SECOND, claim, queue

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.delivery import claims, publishing


def publish(seconds: float) -> set[str]:
    now = NOW + timedelta(seconds=seconds)
    found = publishing.take_for_publishing(claims.list_receivers(now=now), 100, now=now)
    db.session.commit()
    return set(found)


def test_ids_are_published_once_and_again_when_nobody_came(
    project: ProjectRef, proven: str
) -> None:
    queued = {queue(project) for _ in range(3)}

    assert [publish(0), publish(1), publish(31)] == [queued, set(), queued]


def test_an_orphan_is_published_before_what_waits_for_room(
    project: ProjectRef, proven: str
) -> None:
    for _ in range(6):
        queue(project)
    (orphan,) = claim(1)
    claim(3, now=NOW + 30 * SECOND)

    assert [publish(59), publish(60)] == [set(), {orphan.id}]
