"""The doctor: looks at everything that a server depends on, and says what to do."""

from taskbadger.doctor.examination import examine
from taskbadger.doctor.findings import ERROR, FINE, WARNING, Finding

__all__ = ["ERROR", "FINE", "WARNING", "Finding", "examine"]
