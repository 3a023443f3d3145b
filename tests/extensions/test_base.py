"""What services do with the database in one line."""

from flask import Flask
from sqlalchemy import delete, text, update

from taskbadger.clock import utcnow
from taskbadger.extensions import change_rows, db
from taskbadger.models import Organization


def test_a_change_tells_how_many_rows_it_met(app: Flask) -> None:
    now = utcnow()
    db.session.add_all(Organization(slug=slug, name=slug, created=now) for slug in "abc")
    db.session.flush()

    counts = [
        change_rows(update(Organization).where(Organization.slug != "a").values(name="other")),
        change_rows(update(Organization).where(Organization.slug == "d").values(name="other")),
        change_rows(delete(Organization).where(Organization.slug == "a")),
    ]

    assert counts == [2, 0, 1]


def test_postgresql_compiles_no_statement(app: Flask, backend: str) -> None:
    if backend == "postgresql":
        assert db.session.scalar(text("SHOW jit")) == "off"
