"""``python -m taskbadger.cli``: the same as ``taskbadger-server``."""

from taskbadger.cli import main

main()
