"""Conditions that rows have one of many keys, each of several columns.

PostgreSQL takes a list of such keys apart into alternatives. Without statistics of the table it
then reads all rows that share the first column, which are those of a whole project, and planning
takes longer than finding the rows. It gets the keys as a table to join, whose text is always the
same.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, bindparam, func, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY

from taskbadger.extensions import db
from taskbadger.models.types import Condition


def has_key(columns: Sequence[Column[Any]], keys: Sequence[tuple[Any, ...]]) -> Condition:
    """Return the condition that *columns* have the values of one of *keys*."""
    key = tuple_(*columns)
    if db.engine.dialect.name != "postgresql":
        return key.in_(keys)
    arrays = [
        bindparam(None, [values[place] for values in keys], type_=ARRAY(column.type))
        for place, column in enumerate(columns)
    ]
    names = [column.name for column in columns]
    given = func.unnest(*arrays).table_valued(*names).render_derived()
    return key.in_(select(*given.c))
