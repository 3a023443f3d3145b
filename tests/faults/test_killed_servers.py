"""Kills of all processes: no acknowledged write is lost, and its messages arrive.

A real ``serve`` is killed at random under load, each of its processes and all of them, and on
PostgreSQL the database's as well.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from clusters import running_cluster
from faults.databases import Database, Postgresql, Sqlite
from faults.server_trial import Trial

KILLS = int(os.environ.get("TASKBADGER_TEST_KILLS", "0"))
"""On each database, but at least one of each kind; ``make faults`` asks for more."""
WRITES = int(os.environ.get("TASKBADGER_TEST_WRITES", "150"))
"""How many are acknowledged on each database, at least."""
IS_SHORT = KILLS < 50
LEASE = timedelta(seconds=2 if IS_SHORT else 60)
MAX_LATE = timedelta(seconds=30 if IS_SHORT else 5)
"""How long after its lease an orphaned delivery may be sent again while there is a worker."""

pytestmark = pytest.mark.timeout(600 + 5 * KILLS)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        yield Sqlite(tmp_path)
        return
    with running_cluster() as cluster:
        yield Postgresql(cluster)


def test_killed_servers_lose_nothing(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        trial = Trial(database, tmp_path, stack, lease=LEASE)
        kinds = set(trial.executioner.kinds)

        figures = trial.run(max(KILLS, len(kinds)), WRITES)

    with capsys.disabled():
        sys.stdout.write(f"\n{figures}\n")
    assert set(figures.losses.counts().values()) == {0}, figures.losses
    assert (figures.undelivered, database.is_sound()) == (0, True)
    assert set(figures.statuses) <= {0, 201, 200, 409, 503}
    assert figures.acknowledged >= WRITES
    assert set(figures.kills) == kinds
    late = [orphan for orphan in figures.orphans if orphan.late > MAX_LATE]
    assert late == [], trial.executioner.history
    assert IS_SHORT or figures.orphans
