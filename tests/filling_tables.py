"""A row in every table that belongs to an organization, a project or a user, told by the models."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Boolean, Column, Double, Integer, Table, Uuid, insert, select
from sqlalchemy.types import String

from taskbadger.domain import ids
from taskbadger.extensions import db
from taskbadger.models.types import Microseconds, TaskId, UTCDateTime

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
OWNERS = ("organization", "project", "user_account")

Made = dict[str, dict[str, Any]]
"""The row of each table."""


def tables() -> list[Table]:
    """Return the tables whose rows belong to one of OWNERS, owners first."""
    found: list[Table] = []
    for table in db.metadata.sorted_tables:
        refers = any(key.column.table in found for key in table.foreign_keys)
        if table.name in OWNERS or refers:
            found.append(table)
    return found


def fill(number: int) -> Made:
    """Insert a row into each of these tables; all belong to one organization and one project."""
    made: Made = {}
    for table in tables():
        values = {column.name: _value(column, made, number) for column in table.columns}
        values = {name: value for name, value in values.items() if value is not None}
        values |= _special(table.name, number)
        key = list(table.primary_key.columns)
        row = db.session.execute(insert(table).values(values).returning(*key)).mappings().one()
        made[table.name] = {column.name: row[column] for column in key}
    db.session.commit()
    return made


def _value(column: Column[Any], made: Made, number: int) -> Any:
    for key in column.foreign_keys:
        return made.get(key.column.table.name, {}).get(key.column.name)
    kind = column.type
    if column is column.table.autoincrement_column:
        return None
    if isinstance(kind, UTCDateTime):
        return NOW + timedelta(seconds=number)
    if isinstance(kind, TaskId):
        return ids.new_id(NOW + timedelta(seconds=number))
    if isinstance(kind, Uuid):
        return uuid4()
    if isinstance(kind, Boolean):
        return False
    if isinstance(kind, Microseconds):
        return timedelta(seconds=number)
    if isinstance(kind, Integer | Double):
        return number
    assert isinstance(kind, String)
    return f"{column.name}-{number}"[-(kind.length or 100) :]


def _special(table: str, number: int) -> dict[str, Any]:
    """Return what columns need that do not say so."""
    slug = f"slug-{number}"
    message = {
        "id": "x",
        "kind": "task",
        "created": NOW.isoformat(),
        "organization": slug,
        "title": "t",
        "project": slug,
        "reasons": [],
    }
    return {
        "organization": {"deleted_at": None, "deleted_as": None, "deleted_from": None},
        "saved_view": {"project": slug},
        "delivery": {"message": json.dumps(message)},
        "slot_run": {"ended_at": NOW},
    }.get(table, {})


def all_rows() -> dict[str, list[tuple[Any, ...]]]:
    """Return everything in these tables, sorted."""
    found = {
        table.name: sorted((tuple(row) for row in db.session.execute(select(table))), key=repr)
        for table in tables()
    }
    db.session.rollback()
    return found
