"""The database: whether it is there, is one that we can use, and is looked after by a worker."""

import os
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from taskbadger.clock import utcnow
from taskbadger.doctor.findings import ERROR, FINE, WARNING, Finding
from taskbadger.errors import NewerSchema, SettingsError
from taskbadger.extensions import (
    check_access,
    db,
    describe,
    own_schema,
    schema_of,
    sqlite_module,
    wal_is_safe,
)
from taskbadger.services import outage
from taskbadger.settings import Settings

_OLDEST = 14
"""The oldest major version of PostgreSQL that is tested."""
_MAKE_TABLES = "Run: taskbadger-server db upgrade, or start serve"
_SKEW = timedelta(seconds=2)
_DEAD = text("SELECT count(*) FROM (SELECT id FROM delivery WHERE state = 'dead' LIMIT 1000) AS d")


def look(_settings: Settings) -> Iterator[Finding]:
    """Look at all of it; what cannot be reached ends it."""
    path = db.engine.url.database
    if db.engine.dialect.name == "sqlite" and not os.path.exists(str(path)):
        yield Finding(ERROR, "database", f"there is no file {path}", _MAKE_TABLES)
        return
    try:
        check_access()
        with db.engine.connect() as connection:
            yield from _look_at_server(connection)
            version = schema_of(connection)
    except SettingsError as error:
        yield Finding(ERROR, "database", str(error), "Correct it. Nothing starts before")
        return
    except NewerSchema as error:
        said, _, advice = str(error).partition(". ")
        yield Finding(ERROR, "tables", said, advice)
        return
    except DBAPIError as error:
        advice = "Start it, or correct TASKBADGER_DATABASE_URL"
        yield Finding(ERROR, "database", f"cannot be reached: {describe(error)}", advice)
        return
    if version != own_schema():
        said = "there are none yet" if version is None else f"they have version {version}"
        said = f"{said}; this program needs {own_schema()}"
        yield Finding(ERROR, "tables", said, _MAKE_TABLES)
        return
    yield Finding(FINE, "tables", f"they have version {version}, as this program needs")
    yield from _look_at_work()
    db.session.remove()
    db.engine.dispose()


def _look_at_server(connection: Connection) -> Iterator[Finding]:
    if connection.dialect.name == "sqlite":
        version = sqlite_module().sqlite_version_info
        said = f"SQLite {'.'.join(map(str, version))} at {db.engine.url.database}"
        if wal_is_safe(version):
            yield Finding(FINE, "database", said)
        else:
            advice = "Install pysqlite3, or a Python with a newer SQLite: writes are slow"
            yield Finding(WARNING, "database", f"{said} has the WAL-reset bug", advice)
        return
    yield from _look_at_postgresql(connection)


def _look_at_postgresql(connection: Connection) -> Iterator[Finding]:
    query = (
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int,"
        " current_setting('default_transaction_isolation'), clock_timestamp(),"
        " pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on',"
        " current_setting('autovacuum')"
    )
    before = utcnow()
    row = connection.execute(text(query)).one()
    name, number, isolation, now, is_read_only, autovacuum = row
    major = number // 10_000
    if is_read_only:
        advice = "Point TASKBADGER_DATABASE_URL at the server that takes writes"
        yield Finding(ERROR, "database", "it is a standby, or read-only", advice)
    elif major < _OLDEST:
        advice = f"Upgrade it: {_OLDEST} is the oldest that is tested"
        yield Finding(WARNING, "database", f"PostgreSQL {name}", advice)
    else:
        yield Finding(FINE, "database", f"PostgreSQL {name}")
    if isolation != "read committed":
        advice = "Run: ALTER DATABASE … SET default_transaction_isolation = 'read committed'"
        yield Finding(ERROR, "database", f"transactions are {isolation!r} by default", advice)
    if autovacuum != "on":
        advice = "Turn it on: without it, tables grow and searches become slow"
        yield Finding(WARNING, "database", "autovacuum is off", advice)
    yield from _look_at_clock(now, before)
    if shutil.which("pg_dump") is None:
        advice = "Install PostgreSQL's client programs (Debian: postgresql-client)"
        yield Finding(WARNING, "backups", "pg_dump is missing, so backup cannot work", advice)


def _look_at_clock(theirs: datetime, before: datetime) -> Iterator[Finding]:
    ahead = max(before - theirs, theirs - utcnow())
    if ahead > _SKEW:
        said = (
            f"the clocks of this machine and the database are {ahead.total_seconds():.0f} s apart"
        )
        yield Finding(WARNING, "clock", said, "Let both follow a time server (NTP)")
    else:
        yield Finding(FINE, "clock", "it agrees with the database's")


def _look_at_work() -> Iterator[Finding]:
    try:
        silence = outage.read_silence(now=utcnow())
        dead = db.session.scalar(_DEAD) or 0
    except SQLAlchemyError as error:
        yield Finding(ERROR, "worker", f"cannot be asked: {type(error).__name__}", "Run it again")
        return
    if silence.is_on:
        since = f"since {silence.since:%Y-%m-%d %H:%M} UTC" if silence.since else "yet"
        advice = "Start serve without --no-worker, or: taskbadger-server worker"
        yield Finding(WARNING, "worker", f"no background worker has run {since}", advice)
    else:
        yield Finding(FINE, "worker", "a background worker runs")
    if dead:
        number = f"{dead}+" if dead == 1000 else str(dead)
        advice = "The page Alerts, Deliveries says why, and can send them again"
        yield Finding(WARNING, "deliveries", f"{number} could not be delivered", advice)
