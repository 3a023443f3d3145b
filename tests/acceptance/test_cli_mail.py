"""From the official command line's ``--action`` to the mail in the inbox."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from acceptance.live import LiveProject, LiveServer
from processes import run_module
from receivers import SmtpReceiver

from taskbadger.process import process_of

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_action_of_the_command_line_ends_in_the_inbox(
    run_cli: Cli, live: LiveProject, live_server: LiveServer, tmp_path: Path
) -> None:
    with SmtpReceiver() as receiver:
        variables = {
            "TASKBADGER_DATABASE_URL": process_of(live_server.app).settings.DATABASE_URL,
            "TASKBADGER_SMTP_URL": receiver.url,
            "TASKBADGER_PLUGINS": "false",
        }
        with run_module(tmp_path / "worker", ("taskbadger_server", "worker"), variables):
            made = run_cli(
                "create", "nightly import", "--action", "*/25%,error", "email", "to:me@example.com"
            )
            assert made.returncode == 0, made.stderr
            [task] = live.tasks()
            changed = run_cli("update", task["id"], "--value", "60")
            assert changed.returncode == 0, changed.stderr
            mails = receiver.wait(1)
            failed = run_cli("update", task["id"], "--status", "error")
            assert failed.returncode == 0, failed.stderr
            mails = receiver.wait(2)

    assert [mail.recipients for mail in mails] == [["me@example.com"]] * 2
    assert ["nightly import" in mail.message["Subject"] for mail in mails] == [True, True]
