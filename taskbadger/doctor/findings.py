"""What the doctor finds."""

from typing import NamedTuple

FINE, WARNING, ERROR = "fine", "warning", "error"
SECONDS = 5.0
"""How long each look at another machine may take."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    state: str
    """FINE, WARNING or ERROR."""
    part: str
    """What was looked at, in a word or two."""
    said: str
    """A sentence without a full stop."""
    advice: str = ""
    """What to do; empty if there is nothing to do."""
