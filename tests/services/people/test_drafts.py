"""Drafts of forms: for one person, small, and gone after a day."""

from datetime import UTC, datetime, timedelta

from flask import Flask
from sqlalchemy import func, select

from taskbadger.extensions import db
from taskbadger.models import FormDraft
from taskbadger.services.people import drafts
from taskbadger.services.people.drafts import Draft

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FIELDS = {"name": ["Ärger 💥"], "days": ["1", "2"]}


def keep(person: str = "ada", at: datetime = NOW) -> str:
    token = drafts.keep(person, "/a/acme/x/", FIELDS, now=at)
    assert token is not None
    return token


def count() -> int:
    return db.session.scalar(select(func.count()).select_from(FormDraft)) or 0


def test_draft_is_found_by_its_author_only(app: Flask) -> None:
    token = keep()

    assert drafts.find(token, "ada", now=NOW) == Draft("/a/acme/x/", FIELDS)
    assert drafts.find(token, "bo", now=NOW) is None
    assert drafts.find("guess", "ada", now=NOW) is None


def test_token_is_not_in_the_database(app: Flask) -> None:
    token = keep()

    [row] = db.session.execute(select(*FormDraft.__table__.c)).all()
    assert token not in [str(value) for value in row]


def test_draft_is_gone_after_a_day(app: Flask) -> None:
    token = keep()
    day = timedelta(days=1)

    assert drafts.find(token, "ada", now=NOW + day - timedelta(seconds=1)) is not None
    assert drafts.find(token, "ada", now=NOW + day) is None
    drafts.purge(now=NOW + day)
    assert count() == 0


def test_person_has_only_the_latest_few(app: Flask) -> None:
    others = keep("bo")
    tokens = [keep(at=NOW + timedelta(seconds=number)) for number in range(7)]

    found = [drafts.find(token, "ada", now=NOW + timedelta(minutes=1)) for token in tokens]
    assert [draft is not None for draft in found] == [False] * 2 + [True] * 5
    assert drafts.find(others, "bo", now=NOW) is not None


def test_large_form_is_not_kept(app: Flask) -> None:
    for length, is_kept in ((65_000, True), (65_536, False)):
        token = drafts.keep("ada", "/x/", {"data": ["x" * length]}, now=NOW)
        assert (token is not None) == is_kept


def test_draft_is_dropped_by_its_author_or_when_another_signs_in(app: Flask) -> None:
    token, other = keep(), keep()

    drafts.drop(token, "bo")
    drafts.drop_of_others(token, "ada")
    assert count() == 2
    drafts.drop(token, "ada")
    assert count() == 1
    drafts.drop_of_others(other, "bo")
    assert count() == 0
