"""Adds the codes of docs/contract.md#errors to plain marshmallow schemas, as channels use them.

The messages of fields and validators are replaced by ones with a code before anything is loaded,
so no error has to be recognized by its text. Every other error is ``invalid``.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

from marshmallow import Schema, fields, validate

from taskbadger.schemas.fields import Message

_FIELD_MESSAGES = {
    "required": Message("required", "This field is required."),
    "null": Message("null", "This field may not be null."),
}
_BLANK = Message("blank", "This field may not be blank.")


def coded(schema: Schema) -> Schema:
    """Add codes to the messages of *schema* and return it; it must not be shared."""
    for field in schema.fields.values():
        _give_codes(field)
    return schema


def _give_codes(field: fields.Field[Any]) -> None:
    field.error_messages = {**field.error_messages, **_FIELD_MESSAGES}
    field.validators = [
        coded_one for validator in field.validators for coded_one in _coded_validators(validator)
    ]
    for name in ("inner", "key_field", "value_field"):
        part = getattr(field, name, None)
        if isinstance(part, fields.Field):
            # A copy, because all instances of the schema share the part.
            own = copy.copy(part)
            setattr(field, name, own)
            _give_codes(own)


def _coded_validators(validator: Callable[[Any], Any]) -> Iterator[Callable[[Any], Any]]:
    """Yield equivalent validators. Limits are split in two, because each has its own code."""
    custom = getattr(validator, "error", None)
    if isinstance(validator, validate.Length) and validator.equal is None:
        yield from _coded_length(validator, custom)
    elif isinstance(validator, validate.Range) and _includes_bounds(validator):
        yield from _coded_range(validator, custom)
    elif isinstance(validator, validate.OneOf):
        is_custom = custom != validate.OneOf.default_message
        text = custom if custom and is_custom else '"{input}" is not a valid choice.'
        yield validate.OneOf(
            validator.choices, validator.labels, error=Message("invalid_choice", text)
        )
    else:
        yield validator


def _includes_bounds(validator: validate.Range) -> bool:
    return validator.min_inclusive and validator.max_inclusive


def _coded_length(validator: validate.Length, custom: str | None) -> Iterator[validate.Length]:
    if validator.min is not None:
        text = custom or "Ensure this field has a length of at least {min}."
        message = Message("min_length", text) if custom or validator.min > 1 else _BLANK
        yield validate.Length(min=validator.min, error=message)
    if validator.max is not None:
        text = custom or "Ensure this field has a length of at most {max}."
        yield validate.Length(max=validator.max, error=Message("max_length", text))


def _coded_range(validator: validate.Range, custom: str | None) -> Iterator[validate.Range]:
    if validator.min is not None:
        text = custom or "Ensure this value is greater than or equal to {min}."
        yield validate.Range(min=validator.min, error=Message("min_value", text))
    if validator.max is not None:
        text = custom or "Ensure this value is less than or equal to {max}."
        yield validate.Range(max=validator.max, error=Message("max_value", text))
