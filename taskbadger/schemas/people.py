"""The forms of users, members and invitations."""

import re

from taskbadger.domain.digests import FREQUENCIES
from taskbadger.domain.roles import ROLES
from taskbadger.schemas.fields import Choice, RequestSchema, Text, WholeNumber, invalid

MAX_PASSWORD = 1000
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


class Address(Text):
    """An e-mail address in lower case, used to sign in. ``user@host`` without a dot is allowed."""

    def __init__(self) -> None:
        super().__init__(max_length=254, required=True)

    def check(self, text: str) -> str:
        text = super().check(text).lower()
        if not _ADDRESS.fullmatch(text) or not text.isprintable():
            raise invalid("Enter an e-mail address.")
        return text


def password_field() -> Text:
    """Return a field for a password. Spaces around it are kept."""
    return Text(max_length=MAX_PASSWORD, trim=False, required=True)


class SignInForm(RequestSchema):
    """A sign-in. The page shows the same message for every error."""

    email = Text(max_length=254, blank=True, load_default="")
    password = Text(max_length=MAX_PASSWORD, trim=False, blank=True, load_default="")


class SetUpForm(RequestSchema):
    """The first owner, with an organization and a project."""

    name = Text(max_length=255, blank=True, load_default="")
    email = Address()
    password = password_field()
    organization = Text(max_length=255, load_default="Main")
    organization_slug = Text(max_length=50, blank=True, load_default="")
    project = Text(max_length=255, load_default="Default")
    project_slug = Text(max_length=50, blank=True, load_default="")


class AcceptForm(RequestSchema):
    """The name and password of an invited person."""

    name = Text(max_length=255, blank=True, load_default="")
    password = password_field()


class PasswordForm(RequestSchema):
    """A change of password."""

    current = password_field()
    password = password_field()


class DigestForm(RequestSchema):
    """How often to send digests."""

    digest = Choice(FREQUENCIES, required=True)


class TimezoneForm(RequestSchema):
    """Where a person is."""

    timezone = Text(max_length=64, required=True)


class NameForm(RequestSchema):
    """A new name."""

    name = Text(max_length=255, required=True)


class ConfirmForm(RequestSchema):
    """What somebody typed to confirm that something is to be deleted."""

    confirm = Text(max_length=255, required=True)


class RoleForm(RequestSchema):
    """A role."""

    role = Choice(ROLES, required=True)


class InvitationForm(RoleForm):
    """An invitation, and for how many days its link works."""

    email = Address()
    days = WholeNumber(min_value=1, max_value=30, load_default=7)
