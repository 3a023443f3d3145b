"""The body of every error below ``/api/``; ``blueprints/errors.py`` writes it."""

from marshmallow import Schema, fields


class ErrorItem(Schema):
    """One error; *attr* is the field, if it is about one."""

    code = fields.String(
        required=True, metadata={"description": "A word for programs, such as not_found."}
    )
    detail = fields.String(required=True, metadata={"description": "A sentence for people."})
    attr = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The wrong field, with dots into nested values; null if there is none."
        },
    )


class Error(Schema):
    """The body of a response with a status of 400 or more."""

    type = fields.String(
        required=True,
        metadata={
            # flask-smorest describes this schema before `describe_fields` could add the words.
            "enum": ["validation_error", "client_error", "server_error"],
            "description": "validation_error lists wrong fields; the other two have one error.",
        },
    )
    errors = fields.List(
        fields.Nested(ErrorItem), required=True, metadata={"description": "What is wrong."}
    )
