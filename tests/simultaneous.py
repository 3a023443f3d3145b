"""Operations that run at the same moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from flask import Flask

from taskbadger.extensions import db, writing


def at_once(app: Flask, *operations: Callable[[], object]) -> None:
    """Run *operations* in threads that begin together, each in a transaction of its own.

    Each is committed at its end. Raises what any of them raised.
    """
    start = threading.Barrier(len(operations))

    def run(operation: Callable[[], object]) -> None:
        with app.app_context(), writing():
            start.wait()
            try:
                operation()
                db.session.commit()
            finally:
                db.session.rollback()
                db.session.remove()

    db.session.rollback()
    with ThreadPoolExecutor(len(operations)) as pool:
        for done in [pool.submit(run, operation) for operation in operations]:
            done.result(timeout=60)


def numbered(count: int, operation: Callable[[int], object]) -> list[Callable[[], object]]:
    """Return *count* operations, each of which calls *operation* with its number."""
    return [partial(operation, number) for number in range(count)]
