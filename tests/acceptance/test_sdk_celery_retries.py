"""Celery jobs that retries heal: nobody hears of them, and each counts as one run."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from acceptance.background import running
from acceptance.live import LiveProject, LiveServer
from acceptance.sdks import LATEST, SCRIPTS, Sdk, clean_environment, run_script
from processes import environment, wait_until
from receivers import HttpReceiver
from sqlalchemy import select

from taskbadger.channels import SendContext
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.extensions import db
from taskbadger.models import Failure, FailureKind, Incident, Organization, Project, RunStat
from taskbadger.outbound import Sender
from taskbadger.process import process_of
from taskbadger.services.alerts import global_actions
from taskbadger.services.delivery import channels
from taskbadger.services.stats.runs import DAY

JOBS = int(os.environ.get("TASKBADGER_TEST_RETRIES", "5"))
WAIT = 60 if JOBS >= 1000 else 5
"""Seconds that messages wait for a retry."""

pytestmark = pytest.mark.timeout(300 + 2 * JOBS)


def watch(server: LiveServer, live: LiveProject, address: str) -> None:
    """Let two alert rules tell of failures, one of each mode."""
    with server.app.app_context():
        organization = db.session.scalars(
            select(Organization.id).where(Organization.slug == live.organization)
        ).one()
        channels.create_channel(
            organization,
            "webhook",
            "ops",
            "ops",
            {"url": address},
            actor=SERVER,
            context=SendContext(http=Sender.allowing(("127.0.0.0/8",))),
            now=utcnow(),
        )
        for mode in ("every", "incident"):
            rule: global_actions.GlobalActionChanges = {
                "name": mode,
                "mode": mode,
                "trigger": "error,stale",
                "wait_for_retry": WAIT,
                "channels": [{"integration": "webhook:ops", "config": {}}],
            }
            global_actions.create_global_action(organization, rule, actor=SERVER, now=utcnow())
        db.session.commit()
        db.session.remove()


def counts(server: LiveServer, live: LiveProject) -> tuple[int, int, int]:
    """Successful and failed runs, and attempts that were tried again."""
    with server.app.app_context():
        row = db.session.execute(
            select(RunStat.success, RunStat.error, RunStat.retried)
            .join(Project, Project.id == RunStat.project_id)
            .where(Project.slug == live.slug, RunStat.seconds == DAY, RunStat.name == "jobs.healed")
        ).first()
        db.session.remove()
    return (0, 0, 0) if row is None else tuple(row)


def test_retries_that_heal_are_told_to_nobody_and_counted_once(
    sdk: Callable[[str], Sdk],
    live_server: LiveServer,
    live: LiveProject,
    redis_url: str,
    key_prefix: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    latest = sdk(LATEST)
    variables = {
        **live.script_variables,
        "LIVE_REDIS": redis_url,
        "LIVE_PREFIX": f"{key_prefix}{live.slug}:",
    }
    options = ("--concurrency", "2", "--without-gossip", "--without-mingle", "--loglevel", "ERROR")
    command = [latest.python, "-I", SCRIPTS / "celery_retries.py", "worker", *options]
    settings = process_of(live_server.app).settings
    ours = environment(
        TASKBADGER_DATABASE_URL=settings.DATABASE_URL,
        TASKBADGER_OUTBOUND_ALLOW="127.0.0.0/8",
        TASKBADGER_SECRET_KEY=settings.SECRET_KEY,
    )

    def home(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    with HttpReceiver() as receiver:
        watch(live_server, live, receiver.url)
        with (
            running([sys.executable, "-m", "taskbadger_server", "worker"], home("ours"), ours),
            running(command, home("celery"), clean_environment(**variables)),
        ):
            started = utcnow()
            healed = run_script(
                latest,
                "celery_retries.py",
                "publish",
                str(JOBS),
                cwd=tmp_path,
                seconds=120 + JOBS,
                **variables,
            )
            took = (utcnow() - started).total_seconds()
            wait_until(lambda: counts(live_server, live) == (JOBS, 0, 2 * JOBS), "all counts")
            time.sleep(WAIT + 3)
        messages = list(receiver.requests)

    with capsys.disabled():
        sys.stdout.write(
            f"\nretries: {JOBS} Celery jobs that failed twice in {took:.0f} s,"
            f" {len(messages)} messages\n"
        )
    assert (healed, len(messages)) == (JOBS, 0)
    with live_server.app.app_context():
        here = select(Project.id).where(Project.slug == live.slug).scalar_subquery()
        assert db.session.scalars(select(Incident).where(Incident.project_id == here)).all() == []
        superseded = db.session.scalars(
            select(Failure.superseded_by)
            .join(FailureKind, FailureKind.id == Failure.kind_id)
            .where(FailureKind.project_id == here)
        ).all()
        db.session.remove()
    assert (len(superseded), None in superseded) == (2 * JOBS, False)
