"""Forms: the typed text, the loaded values and the errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError

from taskbadger.domain.patterns import CONTAINS, IS, MATCHES, STARTS_WITH
from taskbadger.errors import ValidationFailed
from taskbadger.schemas.fields import field_errors

NAME_KINDS = (
    (IS, "is"),
    (STARTS_WITH, "starts with"),
    (CONTAINS, "contains"),
    (MATCHES, "matches (RE2)"),
)
"""How names of tasks are compared with what is typed: values and words."""
UNCHOSEN = "?"
"""The value of a choice that was not made. It is not a valid slug."""


@dataclass
class Form:
    """A submitted form; an empty one when the page is opened."""

    typed: Mapping[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    """The loaded values that were valid."""
    errors: dict[str, list[str]] = field(default_factory=dict)
    """Messages by field; those about the whole form are under the empty name."""

    def add(self, error: ValidationFailed) -> None:
        """Add the errors that a service raised."""
        for field_error in error.errors:
            self.errors.setdefault(field_error.attr or "", []).append(field_error.detail)


def read_form(schema: type[Schema]) -> Form:
    """Return the request's form, loaded by *schema*."""
    typed = request.form.to_dict()
    try:
        return Form(typed, data=schema().load(typed))
    except ValidationError as error:
        form = Form(typed, data=error.valid_data if isinstance(error.valid_data, dict) else {})
        form.add(ValidationFailed(list(field_errors(error.messages))))
        return form


def with_unchosen(choices: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return *choices* (value, label), with none preselected if there are several."""
    return [(UNCHOSEN, "Choose…"), *choices] if len(choices) > 1 else choices
