"""Why a task failed, in one line, as lists and messages show it."""

from taskbadger.domain.fingerprints import OVERDUE, headline
from taskbadger.domain.placeholders import clean, shorten
from taskbadger.domain.status import STALE
from taskbadger.domain.time_words import duration

MAX_LINE = 300


def error_line(
    data: str | None, cause: str, *, max_runtime: int | None, stale_timeout: int | None
) -> str:
    """Return why a task failed, with secrets masked; empty if it does not say. Never raises.

    *cause* is ``error``, ``stale`` or ``max_runtime_exceeded``.
    """
    own = own_words(cause, max_runtime=max_runtime, stale_timeout=stale_timeout)
    if own:
        return own
    return shorten(" ".join(clean(headline(data, cause)).split()), MAX_LINE)


def own_words(cause: str, *, max_runtime: int | None, stale_timeout: int | None) -> str:
    """Return the cause in words if it is the server's; otherwise an empty text."""
    if cause == OVERDUE:
        limit = f": ran longer than {duration(max_runtime)}" if max_runtime else ""
        return f"Stopped by the server{limit}"
    if cause == STALE:
        return f"No update for {duration(stale_timeout)}" if stale_timeout else "Stale"
    return ""
