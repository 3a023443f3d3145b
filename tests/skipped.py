"""A table of the tests that were skipped, and why, at the end of a run."""

from collections import Counter
from collections.abc import Iterable

import pytest


def rows(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return a line per reason: how many tests were skipped for it, the most frequent first."""
    reasons = Counter(_reason(report) for report in reports)
    return [f"{count:>6}  {reason}" for reason, count in reasons.most_common()]


def _reason(report: pytest.TestReport) -> str:
    """Return the reason that a test was skipped with."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the table, also when nothing was skipped."""
    skipped = terminalreporter.stats.get("skipped", [])
    terminalreporter.section(f"skipped: {len(skipped) or 'nothing'}")
    for line in rows(skipped):
        terminalreporter.write_line(line)
