"""A table of projects for statements about each of many.

Their ids are one parameter: hundreds of them take PostgreSQL longer to plan than to find the tasks.
"""

import json
from collections.abc import Sequence

from sqlalchemy import Integer, Subquery, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.expression import bindparam

from taskbadger.extensions import db

# Literal text, so that SQLAlchemy does not add the table to the FROM clause of a subquery.
PROJECT_ID = literal_column("each_project.id", Integer)
"""The project that a statement is about."""


def each_project(project_ids: Sequence[int]) -> Subquery:
    """Return a table of these ids, which is what PROJECT_ID refers to."""
    if db.engine.dialect.name == "postgresql":
        given = bindparam(None, list(project_ids), type_=ARRAY(Integer))
        return select(func.unnest(given).label("id")).subquery("each_project")
    values = func.json_each(json.dumps(list(project_ids))).table_valued("value")
    return select(values.c.value.label("id")).subquery("each_project")
