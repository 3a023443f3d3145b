"""A self-hosted Task Badger server. The application factory is ``create_app``, of `taskbadger.app`.

The SDK is imported by the same name. Whoever gets this package in its place is told so.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if Path(__file__).with_name("sdk.py").exists():
    raise ImportError(
        "the Task Badger server is installed over the SDK in this environment, where neither works:"
        " run `pip uninstall taskbadger taskbadger-server`, and install each into an environment"
        " of its own"
    )

if not TYPE_CHECKING:  # It would make every name valid.

    def __getattr__(name: str) -> Any:
        """Import the factory when it is asked for, so that importing the package costs nothing.

        Raises AttributeError with a hint: otherwise jobs die with `no attribute 'init'`.
        """
        if name == "create_app":
            from taskbadger.app import create_app  # noqa: PLC0415 - see above

            return create_app
        raise AttributeError(
            f"module 'taskbadger' has no attribute {name!r}: it is the Task Badger server; "
            "jobs need the SDK, in an environment of its own"
        )
