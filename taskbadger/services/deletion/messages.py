"""Which project a delivery is about: only its message says it."""

from typing import Any

from sqlalchemy import ColumnElement, cast, func
from sqlalchemy.dialects.postgresql import JSON

from taskbadger.extensions import db
from taskbadger.models import Delivery


def project_of() -> ColumnElement[Any]:
    """Return the slug of the project that a delivery is about; null for those about none."""
    slug: ColumnElement[Any]
    if db.engine.dialect.name == "postgresql":
        slug = cast(Delivery.message, JSON)["project"].as_string()
    else:
        slug = func.json_extract(Delivery.message, "$.project")
    return slug
