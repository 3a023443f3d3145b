"""The engine of an application: its URL, its options and its listeners, by the settings.

Only for PostgreSQL is its driver imported, which takes 10 MB in each process.
"""

import os
from typing import Any

from flask import Flask
from sqlalchemy import URL, Engine, make_url

from taskbadger.errors import SettingsError
from taskbadger.extensions import sqlite
from taskbadger.extensions.base import db, migrate
from taskbadger.extensions.statements import write_deferred_first
from taskbadger.extensions.transactions import enforce_read_only


def init_database(app: Flask) -> None:
    """Configure Flask-SQLAlchemy and Flask-Migrate for *app* by its settings."""
    url = database_url(app.config["DATABASE_URL"])
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(app.config, url)
    db.init_app(app)
    migrate.init_app(app, db)
    with app.app_context():
        _prepare(db.engine, app.config)


def database_url(text: str) -> URL:
    """Return the URL with the driver that we ship; a relative SQLite path is made absolute."""
    scheme, _, rest = text.partition("://")
    if scheme in ("postgres", "postgresql"):
        return make_url(f"postgresql+psycopg://{rest}")
    url = make_url(text)
    if url.get_backend_name() == "sqlite" and url.database:
        path = os.path.abspath(url.database)
        _make_folder(os.path.dirname(path))
        return url.set(database=path)
    return url


def _make_folder(path: str) -> None:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        reason = f"cannot create the folder {path}: {error.strerror}"
        raise SettingsError(f"TASKBADGER_DATABASE_URL: {reason}") from error


def check_access() -> None:
    """Raise SettingsError unless we may write to the files of the current application's database.

    A PostgreSQL server decides that by itself.
    """
    if db.engine.dialect.name == "sqlite":
        sqlite.check_access(db.engine)


def engine_options(config: dict[str, Any], url: URL) -> dict[str, Any]:
    """Return the arguments for ``create_engine``: pool sizes, timeouts and the driver."""
    timeout = config["DATABASE_TIMEOUT"]
    shared = {
        # An error's text goes to the log, and what clients send must not.
        "hide_parameters": True,
        "pool_size": max(config["THREADS"], config["WORKER_THREADS"]) + 2,
        "max_overflow": 4,
        "pool_timeout": timeout,
        "pool_use_lifo": True,
    }
    if url.get_backend_name() == "sqlite":
        return {**shared, **sqlite.connect_options(timeout)}
    from taskbadger.extensions import postgresql  # noqa: PLC0415 - see this module's docstring

    session_features = config["DATABASE_SESSION_FEATURES"]
    return {**shared, **postgresql.connect_options(timeout, session_features=session_features)}


def _prepare(engine: Engine, config: dict[str, Any]) -> None:
    enforce_read_only(engine)
    write_deferred_first(engine)
    if engine.dialect.name == "sqlite":
        sqlite.prepare_sqlite(
            engine,
            synchronous=config["SQLITE_SYNCHRONOUS"],
            timeout=config["DATABASE_TIMEOUT"],
        )
    else:
        from taskbadger.extensions import postgresql  # noqa: PLC0415 - see this module's docstring

        postgresql.prepare_postgresql(engine, config["DATABASE_TIMEOUT"])
    # After what the set-up has registered: its locks must be new before they are used.
    os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))
