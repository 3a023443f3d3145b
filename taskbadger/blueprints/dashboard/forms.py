"""Forms: what somebody typed, what is wrong with it, and what it means."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError

from taskbadger.errors import ValidationFailed
from taskbadger.schemas.fields import field_errors

UNCHOSEN = "?"
"""What a choice sends that was not made; no slug looks so."""


@dataclass
class Form:
    """A form as it was sent; an empty one when the page is opened."""

    typed: Mapping[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    """The loaded values, where all were right."""
    errors: dict[str, list[str]] = field(default_factory=dict)
    """Messages by field; those about the whole are under the empty name."""

    def add(self, error: ValidationFailed) -> None:
        """Show the errors that a service found."""
        for one in error.errors:
            self.errors.setdefault(one.attr or "", []).append(one.detail)


def read_form(schema: type[Schema]) -> Form:
    """Return the request's form as *schema* reads it."""
    typed = request.form.to_dict()
    try:
        return Form(typed, data=schema().load(typed))
    except ValidationError as error:
        form = Form(typed)
        form.add(ValidationFailed(list(field_errors(error.messages))))
        return form


def with_unchosen(choices: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return *choices* of value and words; of several, none is made for the visitor."""
    return [(UNCHOSEN, "Choose…"), *choices] if len(choices) > 1 else choices
