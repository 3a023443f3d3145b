"""Wall clocks that a trial sets while processes read them; ``clock.c`` is what they read."""

from datetime import timedelta
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")
_MICROSECOND = timedelta(microseconds=1)


class Clock:
    """The wall clock of one machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set(timedelta())
        path.chmod(0o644)

    def set(self, ahead: timedelta) -> None:
        """Let the clock be *ahead* of the true time, or behind it."""
        shift = ahead // _MICROSECOND * 1000
        with self.path.open("r+b" if self.path.exists() else "wb", buffering=0) as file:
            file.write(shift.to_bytes(8, "little", signed=True))

    def variables(self, library: Path) -> dict[str, str]:
        """Return what a process needs in its environment to read this clock."""
        return {"LD_PRELOAD": str(library), "CLOCK_FILE": str(self.path)}
