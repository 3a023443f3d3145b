"""``doctor``: what is wrong with this installation, and what to do."""

import json

import click

from taskbadger import doctor
from taskbadger.cli.commands import Command

_STATUS = {doctor.FINE: 0, doctor.WARNING: 1, doctor.ERROR: 2}


@click.command("doctor", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def doctor_command(*, as_json: bool) -> None:
    """Look at everything that a server depends on, and say what to do. Changes nothing.

    The exit status is 0 if all is fine, 1 if there are warnings, and 2 if there are errors.
    """
    worst = 0
    for finding in doctor.examine():
        worst = max(worst, _STATUS[finding.state])
        if as_json:
            click.echo(json.dumps(finding._asdict(), ensure_ascii=False))
            continue
        click.echo(f"{finding.state:8} {finding.part}: {finding.said}")
        if finding.advice:
            click.echo(f"{'':8} → {finding.advice}")
    raise SystemExit(worst)
