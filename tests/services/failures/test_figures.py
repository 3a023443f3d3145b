"""Failures per day, and which versions had them."""

from datetime import timedelta

import pytest
from alerting import NOW, after
from conftest import count_queries
from services.failures.failing import fail
from sqlalchemy import select

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import FailureKind
from taskbadger.services.failures import figures
from taskbadger.services.failures.figures import VersionCount


def all_kinds() -> list[FailureKind]:
    return list(db.session.scalars(select(FailureKind).order_by(FailureKind.id)))


def test_trend_counts_the_tasks_of_each_day(project: ProjectRef) -> None:
    today = NOW.replace(hour=0, minute=0, second=0)
    for at in (0, 0, -1, -13 * 24, -13 * 24 - 1, -24):
        fail(project, now=today + timedelta(hours=at))
    fail(project, "bang", now=NOW)
    boom, bang = all_kinds()

    assert figures.read_trends([boom, bang], now=NOW) == {
        boom.id: [1, *[0] * 11, 2, 2],
        bang.id: [*[0] * 13, 1],
    }
    assert figures.read_trends([], now=NOW) == {}


def test_trends_take_one_statement_and_leave_out_the_largest(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    for word, number in (("ab", 3), ("bc", 1), ("cd", 2)):
        for _ in range(number):
            fail(project, word)
    monkeypatch.setattr(figures, "MAX_COUNTED", 4)
    kinds = all_kinds()
    with count_queries() as statements:
        trends = figures.read_trends(kinds, now=NOW)

    assert len(statements) == 1
    by_title = {kind.title: sum(trends[kind.id]) for kind in kinds if kind.id in trends}
    assert by_title == {"ab": 3, "bc": 1}


def test_versions_of_the_latest_failures_are_counted(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "LATEST", 4)
    tags = [{"version": "0.9"}, {"release": "a"}, {"version": "1.0"}, {}, {"version": "1.0"}]
    for number, each in enumerate(tags):
        fail(project, now=after(seconds=number), tags={**each, "env": "prod"})
    [kind] = all_kinds()

    assert figures.count_versions(kind.id) == [
        VersionCount("version", "1.0", 2),
        VersionCount("release", "a", 1),
    ]
