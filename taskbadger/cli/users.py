"""``users``: create, list, disable, enable, unlock and delete dashboard users."""

import sys

import click
from flask.cli import with_appcontext

from taskbadger.cli.commands import Group, current_settings
from taskbadger.cli.deleting import confirm, show_counts, yes_option
from taskbadger.cli.lists import json_option, print_list
from taskbadger.clock import to_wire, utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.domain.mail import InvalidAddress, read_login
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import User
from taskbadger.models.account import ROLES
from taskbadger.services.deletion import counting
from taskbadger.services.organizations import organizations
from taskbadger.services.people import attempts, members, passwords, users


@click.group("users", cls=Group)
def user_commands() -> None:
    """Create, list, disable, enable, unlock and delete dashboard users."""


@user_commands.command("create")
@click.argument("email")
@click.option("--org", required=True, help="The organization; created if it does not exist.")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    help="Default: the current role. The first member of an organization becomes its owner, later "
    "ones become members.",
)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@with_appcontext
def create_user(email: str, org: str, role: str | None, *, password_stdin: bool) -> None:
    """Create a user, or set a new password for an existing one.

    Members keep their role unless --role is given. A new password ends the user's sessions.
    """
    now = utcnow()
    address = _checked_email(email)
    password = _ask_password(stdin=password_stdin)
    passwords.check_strength(password, email=address)
    organization = organizations.ensure_organization(org, actor=SERVER, now=now)
    user = users.ensure_user(address, now=now)
    member = members.put_member(user, organization, role, actor=SERVER, now=now)
    password_hash = passwords.hash_password(password)
    users.change_password(user, password_hash, actor=SERVER, now=now)
    attempts.forget_account(address)
    db.session.commit()
    click.echo(f"{address} is {member.role} of {org}.")


@user_commands.command("list")
@json_option
@with_appcontext
def list_users(*, as_json: bool) -> None:
    """List all users, with their roles in organizations."""
    rows = [
        {
            "email": user.email,
            "state": "disabled" if user.disabled else "active",
            "roles": roles,
            "created": to_wire(user.created),
        }
        for user, roles in users.list_users()
    ]
    print_list(rows, ("email", "state", "roles", "created"), as_json=as_json)


@user_commands.command("disable")
@click.argument("email")
@with_appcontext
def disable_user(email: str) -> None:
    """Disable a user; their sessions end at once."""
    users.disable_user(_find_user(email), actor=SERVER, now=utcnow())
    db.session.commit()
    click.echo(f"{email} has been disabled.")


@user_commands.command("enable")
@click.argument("email")
@with_appcontext
def enable_user(email: str) -> None:
    """Enable a disabled user."""
    users.enable_user(_find_user(email), actor=SERVER, now=utcnow())
    db.session.commit()
    click.echo(f"{email} has been enabled.")


@user_commands.command("unlock")
@click.argument("email")
@with_appcontext
def unlock_user(email: str) -> None:
    """Let a user sign in again after too many wrong passwords."""
    users.unlock_user(_find_user(email), actor=SERVER, now=utcnow())
    db.session.commit()
    click.echo(f"{email} can sign in again.")


@user_commands.command("delete")
@click.argument("email")
@yes_option
@with_appcontext
def delete_user(email: str, *, yes: bool) -> None:
    """Delete a user, with their sessions and memberships. What they did keeps their name."""
    user = _find_user(email)
    show_counts(user.email, counting.count_user(user))
    confirm(user.email, yes=yes)
    user = _find_user(email)
    keys = current_settings().secret_keys
    users.delete_user(user, secret_keys=keys, actor=SERVER, now=utcnow())
    db.session.commit()
    click.echo(f"{email} has been deleted.")


def _find_user(email: str) -> User:
    user = users.find_user(email)
    if user is None:
        raise NotFound(f"there is no user {email}")
    return user


def _checked_email(text: str) -> str:
    try:
        return read_login(text)
    except InvalidAddress as error:
        raise ValidationFailed.one("email", f"{text}: {error}") from error


def _ask_password(*, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
