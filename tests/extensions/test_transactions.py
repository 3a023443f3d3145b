"""Transactions that only read: what they refuse, and what a read outside the session sees."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import count_queries
from flask import Flask
from sqlalchemy import Executable, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from taskbadger.clock import utcnow
from taskbadger.errors import WriteInReadOnlyTransaction
from taskbadger.extensions import (
    current_connection,
    db,
    read_outside_session,
    reading,
    set_transactions,
    transaction,
    writing,
)
from taskbadger.models import Organization

CHANGED = utcnow()


def make_organization(slug: str = "acme") -> Organization:
    made = Organization(slug=slug, name="before", created=CHANGED)
    db.session.add(made)
    db.session.commit()
    return made


def names() -> list[str]:
    """Return the names of all organizations, read in a transaction of its own."""
    with reading():
        return list(db.session.scalars(select(Organization.name).order_by(Organization.id)))


def row(slug: str = "new") -> dict[str, object]:
    return {"slug": slug, "name": "new", "created": CHANGED}


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        (insert(Organization).values(row()), "INSERT"),
        (insert(Organization).values(row()).returning(Organization.id), "INSERT"),
        (update(Organization).values(name="after"), "UPDATE"),
        (delete(Organization), "DELETE"),
        (select(Organization.id).with_for_update(), "SELECT FOR UPDATE"),
        (select(Organization).with_for_update(read=True), "SELECT FOR UPDATE"),
        (select(Organization).with_for_update(key_share=True), "SELECT FOR UPDATE"),
        (text("  update organization set name = 'after'"), "UPDATE"),
        (text("CREATE TABLE more (id INTEGER)"), "CREATE"),
        (text("PRAGMA user_version = 1"), "PRAGMA"),
        (text("select id from organization for no key update"), "SELECT FOR UPDATE"),
        (
            text("WITH gone AS (DELETE FROM organization RETURNING id) SELECT count(*) FROM gone"),
            "DELETE",
        ),
    ],
)
def test_a_read_only_transaction_refuses_all_but_plain_selects(
    app: Flask, statement: Executable, kind: str
) -> None:
    make_organization()

    with reading(), pytest.raises(WriteInReadOnlyTransaction) as refused:
        db.session.execute(statement)

    assert refused.value.kind == kind
    assert str(refused.value) == (
        f"{kind} in a read-only transaction: requests with GET and the block `reading()` only "
        "read; to write, use the block `writing()` and commit"
    )
    assert names() == ["before"]


def test_many_rows_at_once_are_refused_too(app: Flask) -> None:
    with reading(), pytest.raises(WriteInReadOnlyTransaction, match=r"^INSERT "):
        db.session.execute(insert(Organization), [row("one"), row("two")])

    assert names() == []


def test_a_flush_is_refused_and_leaves_no_row(app: Flask) -> None:
    with reading():
        db.session.add(Organization(**row()))
        with pytest.raises(WriteInReadOnlyTransaction, match=r"^INSERT "):
            db.session.flush()

    assert names() == []


def test_a_savepoint_is_refused(app: Flask) -> None:
    with reading():
        connection = db.session.connection()

        with pytest.raises(WriteInReadOnlyTransaction, match=r"^SAVEPOINT "):
            connection.begin_nested()


def test_plain_selects_pass_with_common_table_expressions_and_without(app: Flask) -> None:
    make_organization()
    found = select(Organization.name, Organization.created.label("updated")).cte("found")

    with reading():
        names_found = db.session.scalars(select(found.c.name)).all()
        counted = db.session.scalar(text(" select count(*) from organization"))

    assert (names_found, counted) == (["before"], 1)


@pytest.fixture
def view(make_app: Callable[..., Flask]) -> Callable[..., tuple[int, int]]:
    """Answer a request with a view that writes and rolls back; return its status and the rows."""

    def answer(method: str) -> tuple[int, int]:
        other = make_app(TESTING=False)

        @other.route("/api/write-and-roll-back", methods=[method])
        def write() -> str:
            db.session.execute(insert(Organization).values(row()))
            db.session.rollback()
            return ""

        db.session.rollback()
        with other.app_context():
            status = other.test_client().open("/api/write-and-roll-back", method=method).status_code
            return status, len(names())

    return answer


def test_a_view_that_writes_on_get_fails_and_keeps_no_row(
    view: Callable[..., tuple[int, int]],
) -> None:
    # In autocommit the row would be there, and the rollback would change nothing.
    assert view("GET") == (500, 0)


def test_a_view_that_writes_on_post_and_rolls_back_keeps_no_row(
    view: Callable[..., tuple[int, int]],
) -> None:
    assert view("POST") == (200, 0)


def test_the_way_a_transaction_began_decides_not_what_is_chosen_later(app: Flask) -> None:
    made = make_organization()
    with reading():
        db.session.scalar(select(Organization.id))
        set_transactions(read_only=False)

        with pytest.raises(WriteInReadOnlyTransaction, match=r"^UPDATE "):
            db.session.execute(update(Organization).values(name="after"))

    with writing():
        db.session.execute(update(Organization).values(name="after"))
        set_transactions(read_only=True)
        db.session.execute(update(Organization).values(name="later"))
        db.session.commit()
    assert (names(), made.id) == (["later"], made.id)


def test_a_read_outside_the_session_misses_what_is_not_committed(app: Flask) -> None:
    make_organization()
    query = select(Organization.name)
    db.session.execute(update(Organization).values(name="after"))

    before = [tuple(found) for found in read_outside_session(query, {})]
    inside = db.session.scalars(query).all()
    db.session.commit()
    after = [tuple(found) for found in read_outside_session(query, {})]

    assert (before, inside, after) == ([("before",)], ["after"], [("after",)])


def test_a_read_outside_the_session_refuses_to_write(app: Flask) -> None:
    with pytest.raises(WriteInReadOnlyTransaction, match=r"^INSERT "):
        read_outside_session(insert(Organization).values(row()).returning(Organization.id), {})

    assert names() == []


def test_a_read_is_one_round_trip(app: Flask) -> None:
    with reading(), count_queries() as statements:
        db.session.scalar(select(func.count(Organization.id)))
        in_transaction = is_in_transaction(db.session.connection().connection.driver_connection)

    assert statements == ["SELECT count(organization.id) AS count_1 \nFROM organization"]
    assert not in_transaction


@pytest.mark.parametrize("read_only", [False, True])
def test_a_connection_is_given_back_without_its_transaction(app: Flask, read_only: bool) -> None:
    make_organization()
    set_transactions(read_only=read_only)
    raw = db.engine.raw_connection()
    cursor = raw.cursor()
    if read_only or db.engine.dialect.name == "sqlite":
        cursor.execute("BEGIN")
    cursor.execute("UPDATE organization SET name = 'after'")
    driver = raw.driver_connection
    assert is_in_transaction(driver)

    raw.close()

    assert not is_in_transaction(driver)
    assert names() == ["before"]


def test_the_connection_that_was_used_last_is_used_first(app: Flask) -> None:
    connections = [db.engine.connect() for _ in range(3)]
    drivers = [connection.connection.driver_connection for connection in connections]
    for place in (0, 2, 1):
        connections[place].close()

    with db.engine.connect() as connection:
        assert connection.connection.driver_connection is drivers[1]


def is_in_transaction(driver: Any) -> bool:
    if db.engine.dialect.name == "sqlite":
        return bool(driver.in_transaction)
    return bool(driver.info.transaction_status)


def test_a_transaction_commits_the_statements_and_the_session_together(app: Flask) -> None:
    with transaction():
        current_connection().execute(insert(Organization).values(row("one")))
        seen = db.session.scalars(select(Organization.slug)).all()
        db.session.add(Organization(**row("two")))

    assert seen == ["one"]
    assert names() == ["new", "new"]


def test_a_transaction_that_raises_leaves_nothing_and_no_lock(app: Flask) -> None:
    def fail() -> None:
        with transaction():
            current_connection().execute(insert(Organization).values(row("one")))
            db.session.add(Organization(**row("two")))
            db.session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert names() == []
    with transaction():
        current_connection().execute(insert(Organization).values(row("one")))
    assert names() == ["new"]


def test_a_transaction_takes_one_connection(app: Flask) -> None:
    with transaction():
        current_connection().execute(select(Organization.id))
        db.session.execute(select(Organization.id))

        assert db.engine.pool.checkedout() == 1  # type: ignore[attr-defined]  # of QueuePool


def test_after_a_transaction_the_session_has_one_of_its_own(app: Flask) -> None:
    with transaction():
        make = insert(Organization).values(row("one"))
        db.session.execute(make)
    with writing():
        db.session.execute(update(Organization).values(name="after"))
        db.session.rollback()

    assert names() == ["new"]


def test_a_commit_that_fails_raises_and_leaves_nothing(app: Flask) -> None:
    def make_twins() -> None:
        with transaction():
            db.session.add(Organization(**row("one")))
            db.session.add(Organization(**row("one")))

    with pytest.raises(IntegrityError):
        make_twins()

    assert names() == []
