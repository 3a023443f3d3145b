"""How the database finds what it is asked for."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from taskbadger.extensions import db


def plan_of(ask: Callable[[], object]) -> str:
    """Return how the database would find what *ask* asks for in large tables."""
    lines: list[str] = []
    is_sqlite = db.engine.dialect.name == "sqlite"

    def explain(_c: Any, cursor: Any, statement: str, parameters: Any, _: Any, many: bool) -> None:
        parameters = parameters[0] if many else parameters
        if not is_sqlite:
            # A table of few rows is read faster in other ways; here only the possible counts.
            cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        cursor.execute(("EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN ") + statement, parameters)
        lines.extend(str(row[-1]) for row in cursor.fetchall())
        if not is_sqlite:
            cursor.execute("RESET enable_seqscan; RESET enable_bitmapscan")

    event.listen(db.engine, "before_cursor_execute", explain)
    try:
        ask()
    finally:
        event.remove(db.engine, "before_cursor_execute", explain)
    return "\n".join(lines)
