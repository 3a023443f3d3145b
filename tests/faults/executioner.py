"""Kills processes at random, and restarts those that nothing else restarts."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from faults.databases import Database
from faults.restarting import RestartingServer
from processes import wait_until

from taskbadger.clock import utcnow

WEIGHTS = {
    "web worker": 40,
    "background worker": 25,
    "gunicorn": 8,
    "supervisor": 6,
    "everything": 6,
    "backend ended": 20,
    "backend killed": 5,
    "PostgreSQL killed": 5,
}
"""How often each kind of process is killed, in proportion; each at least once."""
AT_ONCE = 0.2
"""The share of kills that do not wait for writes, and so hit processes that are starting."""
MAX_SECONDS_AT_ONCE = 0.5


@dataclass
class Executioner:
    """Kills, in a random order, each kind of process that a server and its database have."""

    server: RestartingServer
    database: Database
    acknowledged: Callable[[], int]
    """Returns how many writes were acknowledged."""
    history: list[tuple[datetime, str]] = field(default_factory=list)
    """The time and the kind of each kill."""

    @property
    def kinds(self) -> dict[str, Callable[[], bool]]:
        """What can be killed; each says whether there was something to kill."""
        return {
            "web worker": self.server.kill_web_worker,
            "background worker": self.server.kill_background_worker,
            "gunicorn": self.server.kill_gunicorn,
            "supervisor": self.server.kill_supervisor,
            "everything": self.server.kill_all,
            **self.database.kills,
        }

    def run(self, count: int, writes: int) -> None:
        """Kill *count* times, and until at least this many *writes* are acknowledged."""
        once = random.sample(list(self.kinds), len(self.kinds))
        mean = writes / count
        for _ in range(count):
            if once:
                kind = once.pop()
                self._wait_for_writes(random.uniform(0.5, 1.5) * mean)
                self._wait_until(self.kinds[kind], kind)
                self.history.append((utcnow(), kind))
            else:
                self._wait(mean)
                self._kill_any()
        self._wait_until(lambda: self.acknowledged() >= writes, "writes")

    def _wait(self, mean: float) -> None:
        """Wait for *mean* writes, on average; sometimes for none."""
        if random.random() < AT_ONCE:
            time.sleep(random.uniform(0, MAX_SECONDS_AT_ONCE))
        else:
            self._wait_for_writes(random.uniform(0, 2) * mean / (1 - AT_ONCE))

    def _wait_for_writes(self, count: float) -> None:
        goal = self.acknowledged() + count
        self._wait_until(lambda: self.acknowledged() >= goal, "writes")

    def _wait_until(self, done: Callable[[], bool], what: str) -> None:
        def look() -> bool:
            self.server.keep()
            return done()

        wait_until(look, what)

    def _kill_any(self) -> None:
        """Kill something that is there."""
        kinds = self.kinds
        weights = [WEIGHTS[kind] for kind in kinds]

        def kill() -> bool:
            (kind,) = random.choices(list(kinds), weights)
            is_done = kinds[kind]()
            if is_done:
                self.history.append((utcnow(), kind))
            return is_done

        self._wait_until(kill, "something to kill")
