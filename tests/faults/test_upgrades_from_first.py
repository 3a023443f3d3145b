"""From version 0001 to the last one and back: all rows are there and equal, on both databases.

A client writes meanwhile; how long it waited is printed. ``make faults`` tries 100,000 tasks, the
suite a few hundred.
"""

import os
import sys
import time
from collections.abc import Callable

import flask_migrate
import pytest
from conftest import settings
from faults.first_version import Writer, connect, fill, missing, read_rows, read_tables
from sqlalchemy import Engine

from taskbadger.app import create_app
from taskbadger.extensions import db

TASKS = int(os.environ.get("TASKBADGER_TEST_FIRST", "300"))

pytestmark = pytest.mark.timeout(120 + TASKS / 100)


def migrate(url: str, step: Callable[[], object]) -> float:
    """Upgrade or downgrade a database; return the seconds that it took."""
    with create_app(settings(DATABASE_URL=url)).app_context():
        began = time.monotonic()
        step()
        took = time.monotonic() - began
        db.session.remove()
        db.engine.dispose()
    return took


def columns(engine: Engine) -> dict[str, list[str]]:
    return {table.name: sorted(table.columns.keys()) for table in read_tables(engine)}


def test_all_rows_survive_the_way_to_the_last_version_and_back(
    new_database: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = new_database()
    migrate(url, lambda: flask_migrate.upgrade(revision="0001"))
    engine = connect(url)
    tables = read_tables(engine)
    fill(engine, tables, TASKS)
    before, shape = read_rows(engine, tables), columns(engine)
    writers, lost, shapes = [], [], []

    for words, step in (
        ("upgrade", flask_migrate.upgrade),
        ("downgrade", lambda: flask_migrate.downgrade(revision="0001")),
    ):
        writers.append(Writer(engine))
        with writers[-1].writing():
            took = migrate(url, step)
        lost.append(missing(before, read_rows(engine, tables)))
        shapes.append(columns(engine))
        with capsys.disabled():
            sys.stdout.write(
                f"\n{words} of {TASKS:,} tasks on {engine.dialect.name}: {took:.1f} s, a write"
                f" waited for {max(writers[-1].seconds):.2f} s at most\n"
            )

    assert lost == [{}, {}]
    assert [writer.failed for writer in writers] == [[], []]
    assert shapes[0].keys() == db.metadata.tables.keys()
    assert shapes[1] == shape
    assert all(before.values())


def test_rows_that_are_gone_or_changed_are_missed() -> None:
    before = {"task": {b"a", b"b"}, "action": {b"c"}}

    assert missing(before, {"task": {b"a", b"x"}, "action": {b"c", b"d"}}) == {"task": 1}
