"""The command ``taskbadger-server``, outside of the package whose place the SDK may have taken.

The SDK and the server are both imported as ``taskbadger``. Installed into one environment, they
overwrite each other's files, and pip does not notice.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

_SHARED = (
    "The Task Badger SDK and the server are in the same environment ({prefix}), where neither"
    " works because both are imported as 'taskbadger': run"
    " `{python} -m pip uninstall taskbadger taskbadger-server`, and install each into an"
    " environment of its own, the server for example with pipx or `uv tool install`."
)
_APP_LOAD_ERROR = 4
"""The exit status that tells gunicorn not to try again."""
_INCOMPLETE = (
    "The installed Task Badger server is incomplete, perhaps because the SDK was uninstalled from"
    " the same environment ({prefix}): install its wheel or checkout again with"
    " `{python} -m pip install --force-reinstall --no-deps PATH`."
)


def main() -> None:
    """Run ``taskbadger-server``."""
    require_own_package()
    with _imports():
        from taskbadger import cli  # noqa: PLC0415 - it fails unless the package is ours

    cli.main()


def load_wsgi() -> "Flask":
    """Return the application for a WSGI server; faults of the set-up end the process."""
    require_own_package(_APP_LOAD_ERROR)
    with _imports():
        from taskbadger.wsgi import app  # noqa: PLC0415 - it fails unless the package is ours

    return app


@contextmanager
def _imports() -> Iterator[None]:
    """Import without garbage collections, and keep what was imported out of later ones.

    It all lives as long as the process: each full collection would look through it in vain.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def require_own_package(status: int = 1) -> None:
    """End the process with one sentence unless ``taskbadger`` is the server's package."""
    message = _explain()
    if message:
        text = message.format(prefix=sys.prefix, python=sys.executable)
        print(f"Error: {text}", file=sys.stderr)  # noqa: T201 - there may be no click
        sys.exit(status)


def _explain() -> str | None:
    spec = find_spec("taskbadger")  # Finds the package without running it.
    folders = [Path(path) for path in (spec and spec.submodule_search_locations) or ()]
    if any((folder / "sdk.py").exists() for folder in folders):
        return _SHARED
    if spec is None or spec.origin is None:
        return _INCOMPLETE
    return None


if __name__ == "__main__":
    main()
