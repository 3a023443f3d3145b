"""Probes: what load balancers and supervisors ask."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.services import outage


@pytest.mark.parametrize(
    ("seconds", "worker", "status"), [(None, "stale", 503), (1, "ok", 200), (90, "stale", 503)]
)
def test_readiness_says_whether_a_worker_runs(
    app: Flask, seconds: int | None, worker: str, status: int
) -> None:
    if seconds is not None:
        outage.tick(now=utcnow() - timedelta(seconds=seconds))
        db.session.commit()
    client = app.test_client()

    ready, with_worker = client.get("/readyz"), client.get("/readyz?worker=1")

    assert (ready.status_code, ready.json) == (200, {"status": "ready", "worker": worker})
    assert with_worker.status_code == status
    if status == 503:
        assert with_worker.json == {"status": "no background worker runs"}
        assert with_worker.headers["Retry-After"]


def test_liveness_asks_nothing(make_app: Callable[..., Flask]) -> None:
    away = make_app(DATABASE_URL="postgresql://127.0.0.1:1/none")

    answer = away.test_client().get("/healthz")

    assert (answer.status_code, answer.json) == (200, {"status": "ok"})
