"""Workers killed while incidents open, escalate and close: each message exactly once, by its id."""

import os
from collections import Counter
from pathlib import Path

import pytest
from faults.telling import run_trial
from faults.test_killed_workers import WORKER, app_of, own_database, secret, variables_of

__all__ = ["own_database", "secret"]

KILLS = int(os.environ.get("TASKBADGER_TEST_KILLS", "10"))

pytestmark = pytest.mark.timeout(300 + 5 * KILLS)


def test_each_message_about_an_incident_is_sent_once_whoever_is_killed(
    own_database: str, secret: str, tmp_path: Path
) -> None:
    app = app_of(own_database, secret)

    told = run_trial(
        app, [WORKER] * 3, variables_of(own_database, secret), tmp_path, kills=max(KILLS, 10)
    )

    assert (told.torn, told.missing, told.unknown, told.still_open) == (set(), set(), set(), 0)
    assert (told.kills, +told.uncounted) == (max(KILLS, 10), Counter())
    assert told.messages >= 2 * told.incidents > told.patient > 0
