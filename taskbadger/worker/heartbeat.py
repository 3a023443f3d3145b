"""The heartbeat: tells a watchdog elsewhere that this server works.

Who watches from outside cannot be reached by a server that is down; a watchdog that hears nothing
for some minutes knows.
"""

import logging
import threading
from urllib.request import urlopen

from taskbadger.extensions import reading
from taskbadger.process import current_process
from taskbadger.services import outage
from taskbadger.worker import steps

log = logging.getLogger(__name__)

THREAD = "heartbeat"
_TIMEOUT = 10.0
"""Seconds for one request."""

_is_sending = threading.Lock()


def send_heartbeat() -> bool:
    """Ask for HEARTBEAT_URL, if it is set and the database takes our ticks; never more to do.

    A thread does so, because a watchdog that does not answer must hold up nothing.
    """
    url = current_process().settings.HEARTBEAT_URL
    if not url:
        return False
    with reading():
        is_silent = outage.read_silence(now=steps.database_now()).is_on
    if not is_silent and _is_sending.acquire(blocking=False):
        threading.Thread(target=_send, args=(url,), name=THREAD, daemon=True).start()
    return False


def _send(url: str) -> None:
    try:
        # The operator chose the address, so it may be inside; the settings checked its scheme.
        with urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310
            answer.read(1024)
    except (OSError, ValueError) as error:
        # Not the address, which is often a secret.
        log.warning("heartbeat failed", extra={"error": f"{type(error).__name__}: {error}"})
    finally:
        _is_sending.release()
