"""Idempotency keys: the first answer is kept, given again, and forgotten after a day."""

from datetime import UTC, datetime, timedelta

import pytest
from conftest import make_project
from sqlalchemy import select, text

from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import FieldError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import IdempotencyRecord
from taskbadger.services.tasks import idempotency
from taskbadger.services.tasks.idempotency import KeyInUse, KeyReused

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = timedelta(hours=24)
SECOND = timedelta(seconds=1)
FIRST = (201, '{"id":"x"}')


def find(
    project: ProjectRef, key: str = "5f0c", digest: str = "same", *, now: datetime = NOW
) -> tuple[int, str] | None:
    answer = idempotency.find_answer(project.id, key, digest, now=now)
    db.session.commit()
    return answer


def keep(project: ProjectRef, key: str = "5f0c", *, now: datetime = NOW) -> None:
    idempotency.keep_answer(project.id, key, "same", *FIRST, now=now)
    db.session.commit()


def kept() -> list[tuple[int, str, str, int, str, datetime]]:
    query = select(IdempotencyRecord).order_by(IdempotencyRecord.created, IdempotencyRecord.key)
    return [
        (row.project_id, row.key, row.body_digest, row.status, row.response, row.created)
        for row in db.session.scalars(query)
    ]


def test_new_key_has_no_answer(project: ProjectRef) -> None:
    assert find(project) is None
    assert kept() == []


def test_first_answer_is_given_again(project: ProjectRef) -> None:
    keep(project)

    assert [find(project), find(project)] == [FIRST, FIRST]
    assert kept() == [(project.id, "5f0c", "same", *FIRST, NOW)]


def test_another_body_is_a_conflict_and_the_answer_stays(project: ProjectRef) -> None:
    keep(project)

    with pytest.raises(KeyReused) as caught:
        find(project, digest="other")
    db.session.rollback()

    assert (caught.value.status, caught.value.detail) == (
        409,
        "This Idempotency-Key was already used with a different request body.",
    )
    assert find(project) == FIRST


def test_keys_differ_by_case_and_project(project: ProjectRef) -> None:
    keep(project)

    assert find(project, "5F0C") is None
    assert find(make_project("acme", "other")) is None
    assert find(make_project("globex", "web"), digest="other") is None


@pytest.mark.parametrize(
    ("age", "answer"), [(DAY - SECOND, FIRST), (DAY, None), (DAY + SECOND, None)]
)
def test_answer_is_kept_for_a_day(
    project: ProjectRef, age: timedelta, answer: tuple[int, str] | None
) -> None:
    keep(project)

    assert find(project, now=NOW + age) == answer
    assert len(kept()) == (0 if answer is None else 1)


def test_expired_key_is_free_for_another_body(project: ProjectRef) -> None:
    keep(project)

    assert find(project, digest="other", now=NOW + DAY) is None
    keep(project, now=NOW + DAY)
    assert find(project, now=NOW + DAY) == FIRST


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "a\n", "\x00", "\x7f"])
def test_key_has_1_to_255_printable_characters(project: ProjectRef, key: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        find(project, key)

    assert caught.value.errors == (
        FieldError(
            "invalid",
            "Ensure this field has 1 to 255 printable characters.",
            "Idempotency-Key",
        ),
    )


@pytest.mark.parametrize("key", ["x", "x" * 255, "a b", "'; --", "é", "100%"])
def test_any_printable_key_will_do(project: ProjectRef, key: str) -> None:
    keep(project, key)

    assert find(project, key) == FIRST


def test_key_is_locked_until_the_transaction_ends(project: ProjectRef, backend: str) -> None:
    if backend == "sqlite":
        pytest.skip("SQLite has one writer at a time: the second request waits for the first")
    name = f"idempotency/{project.id}/5f0c"
    lock = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
    assert idempotency.find_answer(project.id, "5f0c", "same", now=NOW) is None

    with db.engine.connect() as other:
        assert other.scalar(lock, {"name": name}) is False
        db.session.rollback()
        assert other.scalar(lock, {"name": name}) is True
        with pytest.raises(KeyInUse) as caught:
            idempotency.find_answer(project.id, "5f0c", "same", now=NOW)
        db.session.rollback()
        assert find(project, "another") is None

    assert (caught.value.status, caught.value.detail) == (
        409,
        "Another request with this Idempotency-Key is still in progress.",
    )
    assert find(project) is None


def test_answer_of_a_failed_request_is_not_kept(project: ProjectRef) -> None:
    idempotency.keep_answer(project.id, "5f0c", "same", *FIRST, now=NOW)
    db.session.rollback()

    assert find(project) is None


def test_purge_deletes_expired_records_of_all_projects(project: ProjectRef) -> None:
    other = make_project("globex", "web")
    for place, key, age in (
        (project, "old", DAY),
        (project, "young", DAY - SECOND),
        (other, "old", DAY + SECOND),
        (other, "young", SECOND),
    ):
        keep(place, key, now=NOW - age)

    assert idempotency.purge(now=NOW) == 2
    db.session.commit()

    assert [row[:2] for row in kept()] == [(project.id, "young"), (other.id, "young")]
    assert idempotency.purge(now=NOW) == 0


def test_purge_takes_no_more_than_its_limit(project: ProjectRef) -> None:
    for number in range(5):
        keep(project, f"key-{number}", now=NOW - DAY)

    purged = []
    for _ in range(4):
        purged.append(idempotency.purge(now=NOW, limit=2))
        db.session.commit()

    assert purged == [2, 2, 1, 0]


def test_records_go_with_their_project(project: ProjectRef) -> None:
    keep(project)
    db.session.execute(text("DELETE FROM project WHERE id = :id"), {"id": project.id})
    db.session.commit()

    assert kept() == []
