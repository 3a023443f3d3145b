"""Plain marshmallow schemas, with the codes of docs/contract.md#errors."""

from typing import Any

import pytest
from marshmallow import Schema, ValidationError, fields, validate

from taskbadger.schemas.coded import coded
from taskbadger.schemas.fields import field_errors


class PagerSchema(Schema):
    """What a channel of a third party may ask for."""

    topic = fields.String(required=True, validate=validate.Length(2, 4))
    code = fields.String(validate=validate.Length(equal=3))
    label = fields.String(validate=validate.Length(1, error="Give a label."))
    level = fields.Integer(validate=validate.Range(1, 5))
    least = fields.Integer(validate=validate.Range(min=1))
    most = fields.Integer(validate=validate.Range(max=1))
    share = fields.Float(validate=validate.Range(0, 1, max_inclusive=False))
    sound = fields.String(validate=validate.OneOf(["beep", "horn"]))
    people = fields.List(fields.String(validate=validate.Length(1)))


def errors(config: dict[str, Any]) -> list[tuple[str | None, str, str]]:
    with pytest.raises(ValidationError) as caught:
        coded(PagerSchema()).load({"topic": "abc", **config})
    return [(one.attr, one.code, one.detail) for one in field_errors(caught.value.messages)]


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"topic": None}, ("topic", "null", "This field may not be null.")),
        (
            {"topic": "a"},
            ("topic", "min_length", "Ensure this field has a length of at least 2."),
        ),
        (
            {"topic": "abcde"},
            ("topic", "max_length", "Ensure this field has a length of at most 4."),
        ),
        ({"topic": 1}, ("topic", "invalid", "Not a valid string.")),
        ({"code": "ab"}, ("code", "invalid", "Length must be 3.")),
        ({"label": ""}, ("label", "min_length", "Give a label.")),
        (
            {"level": 0},
            ("level", "min_value", "Ensure this value is greater than or equal to 1."),
        ),
        (
            {"level": 6},
            ("level", "max_value", "Ensure this value is less than or equal to 5."),
        ),
        (
            {"least": 0},
            ("least", "min_value", "Ensure this value is greater than or equal to 1."),
        ),
        ({"most": 2}, ("most", "max_value", "Ensure this value is less than or equal to 1.")),
        (
            {"share": 1},
            ("share", "invalid", "Must be greater than or equal to 0 and less than 1."),
        ),
        ({"sound": "moo"}, ("sound", "invalid_choice", '"moo" is not a valid choice.')),
        ({"people": ["a", ""]}, ("people.1", "blank", "This field may not be blank.")),
        ({"people": [None]}, ("people.0", "null", "This field may not be null.")),
        ({"unknown": 1}, ("unknown", "invalid", "Unknown field.")),
    ],
)
def test_error_has_the_code_of_the_contract(
    config: dict[str, Any], error: tuple[str, str, str]
) -> None:
    assert errors(config) == [error]


def test_missing_field_is_required() -> None:
    with pytest.raises(ValidationError) as caught:
        coded(PagerSchema()).load({})

    assert [one.code for one in field_errors(caught.value.messages)] == ["required"]


def test_other_instances_of_the_schema_keep_their_own_messages() -> None:
    errors({"people": [None]})

    assert PagerSchema().validate({"people": [None]}) == {
        "topic": ["Missing data for required field."],
        "people": {0: ["Field may not be null."]},
    }
