"""Connections to PostgreSQL that do not wait forever.

The timeouts of PostgreSQL run in the server, so they do not work when it hangs. Its kernel still
acknowledges what we send, so TCP does not time out either. Each wait therefore has a limit here.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Generator
from ipaddress import ip_address
from typing import Any, ClassVar, TypeVar

import psycopg
from psycopg import capabilities
from psycopg.waiting import Wait

from taskbadger import time_limit
from taskbadger.look_ups import look_up

log = logging.getLogger(__name__)

GRACE_SECONDS = 0.4
"""How much longer than the server we wait, so that it can report the timeout itself."""
CANCEL_SECONDS = 0.2
"""How long a server may take to accept a request to cancel, and to cancel."""
PROBE_SECONDS = 1.5
"""How long a server that did not answer may take to accept a connection."""
PROBE_PAUSE_SECONDS = 0.25

_PORT = "5432"
_OTHER_PLACES = ("hostaddr", "service")
"""Options that name addresses themselves."""

Result = TypeVar("Result")
Steps = Generator[Any, Any, Result]
"""What psycopg does with a connection: it yields what to wait for."""


class SilentDatabase(psycopg.OperationalError):
    """The database did not answer in time."""

    def __init__(self, text: str = "the database does not answer", **options: Any) -> None:
        super().__init__(text, **options)


class Gate:
    """Knows whether the server answers; while it does not, nobody else waits for it.

    Each wait would take all the time that a request has, and hold a thread. Instead a thread of
    its own tries to connect, again and again.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.probe: Callable[[], object] | None = None
        """Connects to the server and disconnects; raises psycopg.Error."""
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self.is_shut = False
        self._lock = threading.Lock()

    def limit(self) -> float:
        """Return how many seconds a wait may take; raises SilentDatabase."""
        if self.is_shut:
            raise SilentDatabase()
        return time_limit.remaining(self.timeout) + GRACE_SECONDS

    def note_silence(self, waited: float) -> None:
        """Shut the gate if the server did not answer within the whole timeout."""
        with self._lock:
            if waited < self.timeout or self.is_shut or self.probe is None:
                return
            self.is_shut = True
        log.error("the database does not answer", extra={"seconds": round(waited, 1)})
        try:
            threading.Thread(target=self._wait_for_answer, name="probe", daemon=True).start()
        except RuntimeError:  # There are too many threads.
            self.note_answer()

    def note_answer(self) -> None:
        """Open the gate."""
        self.is_shut = False

    def _wait_for_answer(self) -> None:
        began = time.monotonic()
        while self.is_shut:
            time.sleep(PROBE_PAUSE_SECONDS)
            try:
                if self.probe is not None:
                    self.probe()
            except SilentDatabase:
                continue
            except psycopg.Error:
                pass  # An answer too; the next request gets the error.
            except Exception:
                log.exception("the database could not be tried")  # Let the next request try.
            self.note_answer()
        seconds = round(self.timeout + time.monotonic() - began, 1)
        log.warning("the database answers again", extra={"seconds": seconds})


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits as long as its gate says; ``connections_of`` makes the class."""

    gate: ClassVar[Gate]

    @classmethod
    def _connect_gen(cls, *arguments: Any, **options: Any) -> Steps[Any]:
        # This is one address of several; another may answer.
        steps = super()._connect_gen(*arguments, **options)
        return (yield from until(steps, time_limit.remaining(cls.gate.timeout) + GRACE_SECONDS))

    @classmethod
    def connect(cls, *arguments: Any, **options: Any) -> Any:
        """Connect; raises SilentDatabase if no server answers in time."""
        limit = cls.gate.limit()
        try:
            return super().connect(*arguments, **with_addresses(options, limit))
        except SilentDatabase:
            cls.gate.note_silence(limit)
            raise

    def wait(self, gen: Steps[Result], *arguments: Any, **options: Any) -> Result:
        """Wait for *gen*; raises SilentDatabase, and the connection is closed then."""
        try:
            limit = self.gate.limit()
        except SilentDatabase:
            self.close()
            raise
        try:
            result = super().wait(until(gen, limit), *arguments, **options)
        except SilentDatabase:
            return self._cancel(gen, limit)
        if self.gate.is_shut:
            self.gate.note_answer()
        return result

    def _cancel(self, gen: Steps[Result], waited: float) -> Result:
        """Ask the server to stop, so that it holds no locks; wait briefly for its answer.

        Raises QueryCanceled, or closes the connection and raises SilentDatabase.
        """
        try:
            if capabilities.has_cancel_safe():
                self.cancel_safe(timeout=CANCEL_SECONDS)
                return super().wait(until(gen, CANCEL_SECONDS, Wait.R))
        except psycopg.Error as error:
            if error.sqlstate is not None:
                raise
        self.close()
        self.gate.note_silence(waited)
        raise SilentDatabase()


def until(steps: Steps[Result], seconds: float, wanted: Any = None) -> Steps[Result]:
    """Do *steps*, from where they wait for *wanted*; raises SilentDatabase after *seconds*."""
    deadline = time.monotonic() + seconds
    try:
        if wanted is None:
            wanted = next(steps)
        while True:
            ready = yield wanted
            # psycopg calls at least ten times a second, ready or not. What has arrived is read,
            # unless it drips in for too long.
            if time.monotonic() > deadline + (seconds if ready else 0):
                raise SilentDatabase()
            wanted = steps.send(ready)
    except StopIteration as done:
        result: Result = done.value
        return result


def with_addresses(options: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the options of a connection with the addresses of its hosts.

    psycopg would look them up without a time limit. A host that has none is left out, as another
    may answer. Options that psycopg refuses, or completes from elsewhere, are unchanged. Raises
    OperationalError if there is no address at all, and SilentDatabase after *seconds*.
    """
    names = str(options.get("host") or "").split(",")
    given = str(options.get("port") or os.environ.get("PGPORT") or "").split(",")
    if (
        not any(map(_is_name, names))
        or any(options.get(name) or os.environ.get(f"PG{name.upper()}") for name in _OTHER_PLACES)
        or len(given) not in (1, len(names))
        or not all(port.isdecimal() or not port for port in given)
    ):
        return options
    deadline = time.monotonic() + seconds
    ports = given * len(names) if len(given) == 1 else given
    found: list[tuple[str, str, str]] = []
    errors: list[Exception] = []
    for place, (name, port) in enumerate(zip(names, ports, strict=True)):
        share = (deadline - time.monotonic()) / (len(names) - place)
        try:
            addresses = look_up(name, int(port or _PORT), seconds=share) if _is_name(name) else [""]
        except (OSError, UnicodeError) as error:
            errors.append(error)
        else:
            found += [(name, address, port) for address in addresses]
    if found:
        hosts, all_addresses, all_ports = map(",".join, zip(*found, strict=True))
        changes = {"host": hosts, "hostaddr": all_addresses}
        # A single port is that of all hosts.
        return options | changes | ({"port": all_ports} if len(given) > 1 else {})
    if any(isinstance(error, TimeoutError) for error in errors):
        raise SilentDatabase("the host name of the database could not be looked up in time")
    raise psycopg.OperationalError(f"the host of the database could not be found: {errors[-1]}")


def _is_name(host: str) -> bool:
    """Say whether a host has to be looked up: it is no address, and no folder of a socket."""
    if not host or host.startswith(("/", "@")):
        return False
    try:
        ip_address(host)
    except ValueError:
        return True
    return False


class _Probe(psycopg.Connection[Any]):
    @classmethod
    def connect(cls, *arguments: Any, **options: Any) -> Any:
        return super().connect(*arguments, **with_addresses(options, PROBE_SECONDS))

    @classmethod
    def _connect_gen(cls, *arguments: Any, **options: Any) -> Steps[Any]:
        steps = super()._connect_gen(*arguments, **options)
        return (yield from until(steps, PROBE_SECONDS))


def connections_of(gate: Gate) -> Callable[..., BoundedConnection]:
    """Return the function that connects to the server behind *gate*; see ``psycopg.connect``."""

    class GatedConnection(BoundedConnection):
        """Waits as long as this gate says."""

    GatedConnection.gate = gate

    def connect(*arguments: Any, **options: Any) -> BoundedConnection:
        def probe() -> None:
            _Probe.connect(*arguments, **options).close()

        gate.probe = probe
        made: BoundedConnection = GatedConnection.connect(*arguments, **options)
        return made

    return connect
