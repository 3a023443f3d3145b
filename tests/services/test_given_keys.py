"""The condition that rows have one of many keys."""

from datetime import timedelta

from flask import Flask
from sqlalchemy import insert, select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.given_keys import has_key
from taskbadger.services.stats.rows import STATS

NOW = utcnow().replace(microsecond=0)
KEY = (STATS.c.name, STATS.c.start)


def _insert(project: ProjectRef, *keys: tuple[str, int]) -> None:
    rows = [
        {
            "project_id": project.id,
            "seconds": 60,
            "name": name,
            "start": NOW + timedelta(minutes=minutes),
            "last": NOW,
            **dict.fromkeys(("success", "error", "cancelled", "stale", "retried"), 0),
            "run_times": "",
        }
        for name, minutes in keys
    ]
    db.session.execute(insert(STATS), rows)


def _found(*keys: tuple[str, int]) -> set[tuple[str, int]]:
    given = [(name, NOW + timedelta(minutes=minutes)) for name, minutes in keys]
    rows = db.session.execute(select(*KEY).where(has_key(KEY, given))).all()
    found = {(name, (start - NOW) // timedelta(minutes=1)) for name, start in rows}
    assert len(found) == len(rows)
    return found


def test_only_whole_keys_are_found(project: ProjectRef) -> None:
    _insert(project, ("a", 1), ("a", 2), ("b", 1), ("b", 2), ("Größe ✓", 3))

    assert _found(("a", 1), ("b", 2), ("Größe ✓", 3), ("c", 1)) == {
        ("a", 1),
        ("b", 2),
        ("Größe ✓", 3),
    }


def test_a_key_given_twice_is_found_once(project: ProjectRef) -> None:
    _insert(project, ("a", 1))

    assert _found(("a", 1), ("a", 1)) == {("a", 1)}


def test_no_keys_find_nothing(project: ProjectRef) -> None:
    _insert(project, ("a", 1))

    assert _found() == set()


def test_text_for_postgresql_is_the_same_for_any_number_of_keys(app: Flask) -> None:
    if db.engine.dialect.name != "postgresql":
        return
    texts = {
        str(select(*KEY).where(has_key(KEY, [("a", NOW)] * number)).compile(db.engine))
        for number in (1, 3, 200)
    }

    assert len(texts) == 1
