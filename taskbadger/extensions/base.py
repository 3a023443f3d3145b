"""The declarative base, and the Flask extensions of the database."""

from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Delete,
    Engine,
    MetaData,
    Table,
    Update,
    delete,
    select,
    tuple_,
)
from sqlalchemy.orm import DeclarativeBase

MIGRATIONS = str(Path(__file__).parent.parent / "migrations")


class Base(DeclarativeBase):
    """The base of all models. Constraints are named, so that a migration can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


joined_connection: ContextVar[Connection | None] = ContextVar("joined_connection", default=None)
"""The connection whose transaction the session of this context joins; see ``transaction``."""


class _Session(Session):
    """A session that joins the transaction of its context where one has begun."""

    def get_bind(self, *arguments: Any, **options: Any) -> Engine | Connection:
        return joined_connection.get() or super().get_bind(*arguments, **options)


db = SQLAlchemy(model_class=Base, session_options={"class_": _Session})
migrate = Migrate(directory=MIGRATIONS, render_as_batch=True)


def change_rows(statement: Update | Delete) -> int:
    """Run an UPDATE or DELETE in the session; return how many rows it changed."""
    result = cast(CursorResult[Any], db.session.execute(statement))
    return result.rowcount


def delete_some(table: Table, *where: ColumnElement[bool], limit: int) -> int:
    """Delete up to *limit* rows for which all of *where* is true; return how many."""
    key = tuple(table.primary_key.columns)
    some = select(*key).where(*where).limit(limit)
    found = tuple_(*key) if len(key) > 1 else key[0]
    # The conditions again, because somebody may have changed one in between.
    return change_rows(delete(table).where(found.in_(some), *where))
