"""A table of the tests that were skipped, and why, at the end of a run."""

import os
from collections import Counter
from collections.abc import Iterable

import pytest


def leave_to_faults(backend: str, long: str = "sqlite") -> None:
    """Skip a trial that takes long on the database *long*, unless ``make faults`` runs all."""
    if backend == long and not os.environ.get("TASKBADGER_TEST_EVERYTHING"):
        pytest.skip("make faults tries it on this database, too")


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
