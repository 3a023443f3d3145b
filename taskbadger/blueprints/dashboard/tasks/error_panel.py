"""Why a task failed, as pages show it."""

from collections.abc import Sequence
from dataclasses import dataclass

from taskbadger.domain import trace_lines
from taskbadger.domain.error_lines import own_words
from taskbadger.domain.fingerprints import error_text
from taskbadger.domain.status import ERROR, STALE
from taskbadger.domain.trace_lines import Section
from taskbadger.models.task_rows import PageTask


@dataclass(frozen=True, slots=True)
class ErrorPanel:
    """Why a task failed."""

    headline: str
    text: str
    """All that it says, to copy."""
    sections: Sequence[Section]
    """The same, with frames of libraries apart; empty if the headline is all."""
    is_details: bool
    """Whether the text is beside the cause, which is our own."""


def make_panel(task: PageTask, cause: str = "") -> ErrorPanel | None:
    """Return why a task failed; None if it has not.

    *cause* is that of its failure kind; empty if it has none.
    """
    if task.status not in (ERROR, STALE):
        return None
    why = cause or task.status
    own = own_words(why, max_runtime=task.max_runtime, stale_timeout=task.stale_timeout)
    found = error_text(task.data, why)
    if found is None:
        return ErrorPanel(own or "The task sent no details of its error.", "", (), False)
    text = found.text or (found.headline if own else "")
    sections = trace_lines.split(text) if text else ()
    return ErrorPanel(own or found.headline, text or found.headline, sections, bool(own))
