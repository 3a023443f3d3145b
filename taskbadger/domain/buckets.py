"""The buckets of metrics: how many durations were at most so long, exactly and for good.

Unlike the bins of `domain.run_times`, their limits are part of the interface: changing one breaks
the series that Prometheus has collected.
"""

import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

LIMITS = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0)
"""The upper limits in seconds, included; one more bucket is for all that took longer."""


@dataclass(slots=True)
class Durations:
    """Durations by bucket, and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LIMITS) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(LIMITS, seconds)] += 1
        self.seconds += seconds

    def merge(self, other: "Durations") -> None:
        """Add the durations of *other*."""
        self.counts = [sum(both) for both in zip(self.counts, other.counts, strict=True)]
        self.seconds += other.seconds

    @property
    def cumulative(self) -> Sequence[int]:
        """How many durations did not exceed each limit; the last is how many there are."""
        total, found = 0, []
        for count in self.counts:
            total += count
            found.append(total)
        return found

    def stored(self) -> str:
        """Return the counts as JSON."""
        return json.dumps(self.counts, separators=(",", ":"))


def read_stored(counts: str, seconds: float) -> Durations:
    """Return the durations of which this is the JSON, and the sum."""
    return Durations(json.loads(counts), seconds)
