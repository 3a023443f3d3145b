"""Everything that is looked at, in the order of the report."""

import os
from collections.abc import Callable, Iterable, Iterator

from flask import Flask

from taskbadger.app import create_app
from taskbadger.doctor import database, files, neighbours
from taskbadger.doctor.findings import ERROR, FINE, WARNING, Finding
from taskbadger.errors import SettingsError
from taskbadger.process import process_of
from taskbadger.settings import Settings, unknown_variables

Look = Callable[[Settings], Iterable[Finding]]
LOOKS: tuple[Look, ...] = (
    files.look_at_modes,
    files.look_at_disk,
    database.look,
    neighbours.look_at_mail,
    neighbours.look_at_broker,
    neighbours.look_at_base_url,
)


def examine() -> Iterator[Finding]:
    """Yield what is found, as it is found: each look takes a few seconds at most.

    Nothing is changed, and no error stops it.
    """
    app, finding = _start()
    yield finding
    for name in unknown_variables(os.environ):
        advice = "Look for a misspelling. docs/operating.md has all settings"
        yield Finding(WARNING, "settings", f"{name} is no setting", advice)
    if app is None:
        return
    with app.app_context():
        for look in LOOKS:
            try:
                yield from look(process_of(app).settings)
            except Exception as error:  # The next look may say why.
                said = f"{type(error).__name__}: {error}"
                yield Finding(ERROR, look.__module__.rpartition(".")[2], said, "Report this")


def _start() -> tuple[Flask | None, Finding]:
    """Return the application, and whether it can be made."""
    try:
        app = create_app()
    except SettingsError as error:
        return None, Finding(ERROR, "settings", str(error), "Correct it. Nothing starts before")
    except Exception as error:  # That of a plug-in, which a note names.
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        return None, Finding(ERROR, "settings", f"{error}{notes}", "Remove or mend the plug-in")
    return app, Finding(FINE, "settings", "all are valid")
