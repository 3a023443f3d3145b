"""From the first failure of a job to its recovery, by mail: a scanner, a person, and escalation."""

import re
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from acceptance.background import running
from conftest import settings
from faults.killing import make_place
from processes import SECRET_KEY, Server, environment, run_server, serve, wait_until
from receivers import ReceivedMail, SmtpReceiver
from skipped import leave_to_faults
from test_serving import is_ready
from visiting import free_address, press, scan

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.extensions import db
from taskbadger.services.alerts import global_actions

STEP = 20
"""Seconds after which the boss is told."""
BOSS = (
    "scanned is still failing, and nobody has acknowledged it for …: ValueError: no luck"
    " with key 42 (1 run since … UTC)"
)
LINK = re.compile(r"http://127\.0\.0\.1:\d+/public/incidents/\?token=[\w.%-]+")


def mail_to(address: str) -> global_actions.NotificationTarget:
    return {"integration": "email", "config": {"to": address}}


def prepare(url: str) -> None:
    with create_app(settings(DATABASE_URL=url, SECRET_KEY=SECRET_KEY)).app_context():
        project = make_place()
        rule: global_actions.GlobalActionChanges = {
            "name": "watch",
            "mode": "incident",
            "trigger": "error",
            "channels": [mail_to("oncall@example.com")],
            "escalation": [{"after": STEP, "channels": [mail_to("boss@example.com")]}],
        }
        global_actions.create_global_action(
            project.organization_id, rule, actor=SERVER, now=utcnow()
        )
        db.session.commit()
        db.engine.dispose()


def end(server: Server, key: str, name: str, status: str) -> None:
    task = {
        "name": name,
        "status": status,
        "data": {"exception": "ValueError: no luck with key 42"},
    }
    assert server.request("POST", "/api/load/load/tasks/", key=key, json_body=task)[0] == 201


def subject_of(mail: ReceivedMail) -> str:
    return str(mail.message["Subject"]).removesuffix(" (load/load)")


def links(mail: ReceivedMail) -> dict[str, str]:
    """Return the signed links of a mail: to acknowledge, and to snooze."""
    acknowledge, snooze = dict.fromkeys(LINK.findall(mail.text))
    return {"acknowledge": acknowledge, "snooze": snooze}


def test_acknowledging_by_link_stops_the_escalation(
    backend: str, new_database: Callable[[], str], tmp_path: Path
) -> None:
    leave_to_faults(backend)
    url, address = new_database(), free_address()
    home = tmp_path / "worker"
    home.mkdir()
    with SmtpReceiver() as post:
        variables = {
            "TASKBADGER_DATABASE_URL": url,
            "TASKBADGER_SMTP_URL": post.url,
            "TASKBADGER_BASE_URL": f"http://{address}",
        }
        command = [sys.executable, "-m", "taskbadger_server", "worker"]
        with ExitStack() as stack:
            server = stack.enter_context(serve(tmp_path, "--bind", address, **variables))
            wait_until(lambda: is_ready(server), "a server")
            stack.enter_context(running(command, home, environment(**variables)))
            prepare(url)
            done = run_server("keys", "create", "load/load", home=tmp_path, **variables)
            key = done.stdout.splitlines()[-1]

            end(server, key, "acknowledged", "error")
            end(server, key, "scanned", "error")
            mails = {subject_of(mail).split()[0]: mail for mail in post.wait(2, seconds=60)}
            page = press(links(mails["acknowledged"])["acknowledge"])
            assert "oncall@example.com" in page
            for link in links(mails["scanned"]).values():
                scan(link)

            post.wait(3, seconds=STEP + 60)
            time.sleep(3)  # The other one would have been told by now.
            end(server, key, "acknowledged", "success")
            end(server, key, "scanned", "success")
            told = post.wait(6, seconds=60)

    seen = sorted((mail.recipients[0].partition("@")[0], subject_of(mail)) for mail in told)
    assert [(to, re.sub(r"\d+:\d+|\d+ s", "…", line)) for to, line in seen] == [
        ("boss", BOSS),
        ("boss", "scanned recovered after …, 1 failed run"),
        ("oncall", "acknowledged is failing: ValueError: no luck with key 42 (1 run since … UTC)"),
        ("oncall", "acknowledged recovered after …, 1 failed run"),
        ("oncall", "scanned is failing: ValueError: no luck with key 42 (1 run since … UTC)"),
        ("oncall", "scanned recovered after …, 1 failed run"),
    ]
