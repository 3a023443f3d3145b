"""Figures: what a benchmark measures, with the goal, as a line for people and as JSON."""

import json
import os
from collections.abc import Iterable
from typing import NamedTuple

FILE = "TASKBADGER_BENCH_FIGURES"
"""The variable that names a file, to which benchmarks add their figures as lines of JSON."""


class Figure(NamedTuple):
    """A measured figure."""

    name: str
    database: str
    figure: float
    unit: str
    goal: float | None = None
    is_least: bool = False
    """Whether the goal is the least that is good enough, not the most."""

    @property
    def is_reached(self) -> bool:
        """Whether the figure reaches its goal."""
        if self.goal is None:
            return True
        return self.figure >= self.goal if self.is_least else self.figure <= self.goal

    @property
    def verdict(self) -> str:
        """The goal, and whether it is reached; empty without a goal."""
        if self.goal is None:
            return ""
        sign = "≥" if self.is_least else "≤"
        return f"goal {sign} {self.goal:,.1f} {'ok' if self.is_reached else 'MISSED'}"


def keep(figures: Iterable[Figure]) -> None:
    """Add figures to the file of ``bench/keep.py``, if that runs this benchmark."""
    path = os.environ.get(FILE)
    if path:
        with open(path, "a") as file:
            file.writelines(json.dumps(figure._asdict()) + "\n" for figure in figures)
