"""The forms about users, members and their organization."""

import re

from taskbadger.domain.roles import ROLES
from taskbadger.schemas.fields import Choice, RequestSchema, Text, WholeNumber, invalid

MOST_PASSWORD = 1000
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


class Address(Text):
    """An e-mail address, in lower case: a name to sign in with, also on hosts without a domain."""

    def __init__(self) -> None:
        super().__init__(max_length=254, required=True)

    def check(self, text: str) -> str:
        text = super().check(text).lower()
        if not _ADDRESS.fullmatch(text) or not text.isprintable():
            raise invalid("Enter an e-mail address.")
        return text


def password_field() -> Text:
    """Return the field for a password, which is taken as it was typed."""
    return Text(max_length=MOST_PASSWORD, trim=False, required=True)


class SignInForm(RequestSchema):
    """Who signs in. Whatever is wrong, the answer is the same."""

    email = Text(max_length=254, blank=True, load_default="")
    password = Text(max_length=MOST_PASSWORD, trim=False, blank=True, load_default="")


class SetUpForm(RequestSchema):
    """The first owner."""

    name = Text(max_length=255, blank=True, load_default="")
    email = Address()
    password = password_field()
    organization = Text(max_length=255, load_default="Main")
    organization_slug = Text(max_length=50, blank=True, load_default="")
    project = Text(max_length=255, load_default="Default")
    project_slug = Text(max_length=50, blank=True, load_default="")


class AcceptForm(RequestSchema):
    """What an invited person says of themselves."""

    name = Text(max_length=255, blank=True, load_default="")
    password = password_field()


class PasswordForm(RequestSchema):
    """A change of password."""

    current = password_field()
    password = password_field()


class NameForm(RequestSchema):
    """A new name."""

    name = Text(max_length=255, required=True)


class RoleForm(RequestSchema):
    """A role."""

    role = Choice(ROLES, required=True)


class InvitationForm(RoleForm):
    """Whom to invite, and for how many days the link works."""

    email = Address()
    days = WholeNumber(min_value=1, max_value=30, load_default=7)
