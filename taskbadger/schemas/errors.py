"""The shape of every error below ``/api/``; ``blueprints/errors.py`` writes it."""

from marshmallow import Schema, fields

from taskbadger.schemas.fields import Choice


class ErrorItem(Schema):
    """One thing that is wrong."""

    code = fields.String(required=True)
    detail = fields.String(required=True)
    attr = fields.String(required=True, allow_none=True)


class Error(Schema):
    """What is answered with a status of 400 or more."""

    type = Choice(("validation_error", "client_error", "server_error"), required=True)
    errors = fields.List(fields.Nested(ErrorItem), required=True)
