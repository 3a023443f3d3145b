"""The row that says which beat sends: of those who see the same state, one replaces it."""

from flask import Flask

from taskbadger.extensions import db
from taskbadger.services import beat_lease
from taskbadger.services.beat_lease import NEVER_HELD, State


def replace(seen: State, holder: str | None) -> bool:
    is_replaced = beat_lease.replace(seen, holder)
    db.session.commit()
    return is_replaced


def test_a_state_is_replaced_once(app: Flask) -> None:
    assert beat_lease.read() == NEVER_HELD

    assert [replace(NEVER_HELD, "a"), replace(NEVER_HELD, "b")] == [True, False]
    seen = beat_lease.read()
    assert seen == State("a", 1)
    assert [replace(seen, "b"), replace(seen, "a"), replace(seen, None)] == [True, False, False]
    assert beat_lease.read() == State("b", 2)


def test_a_state_never_comes_back(app: Flask) -> None:
    replace(NEVER_HELD, "a")
    seen = beat_lease.read()
    replace(seen, None)
    replace(State(None, 2), "a")

    assert beat_lease.read() == State("a", 3)
    assert not replace(seen, "b")
