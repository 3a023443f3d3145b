"""Connections to addresses that were checked, each step of them before one deadline."""

import contextlib
import ssl
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpcore2

from taskbadger.outbound.errors import OutboundError


class Deadline:
    """The moment by which everything has to be over."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return self._end - time.monotonic()


class _TLSFailure(Exception):
    """The connection stands, but the other side did not prove who it is."""


class PinnedNetwork(httpcore2.NetworkBackend):
    """Connects to given addresses whatever the host's name, and to nothing else."""

    def __init__(self, addresses: Sequence[str], deadline: Deadline, tls: ssl.SSLContext) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self.tls = tls
        self.received = 0
        """Bytes that the other side has sent."""

    def connect_tcp(
        self, host: str, port: int, *_args: object, **_options: object
    ) -> httpcore2.NetworkStream:
        """Connect to the first address that answers; each has its share of the time."""
        backend = httpcore2.SyncBackend()
        for place, address in enumerate(self._addresses, start=1):
            share = _positive(self._deadline.left() / (len(self._addresses) - place + 1))
            try:
                return _TimedStream(backend.connect_tcp(address, port, timeout=share), self)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if place == len(self._addresses):
                    raise
        raise AssertionError("there is at least one address")  # pragma: no cover

    def time_left(self) -> float:
        return _positive(self._deadline.left())


def _positive(seconds: float) -> float:
    """Return *seconds*, or raise when time is up: a socket takes 0 for "do not wait"."""
    if seconds <= 0:
        raise httpcore2.ReadTimeout("the deadline has passed")
    return seconds


class _TimedStream(httpcore2.NetworkStream):
    """A stream whose every step ends at the deadline of the whole request."""

    def __init__(self, stream: httpcore2.NetworkStream, network: PinnedNetwork) -> None:
        self._stream = stream
        self._network = network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, self._network.time_left())
        self._network.received += len(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._network.time_left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            seconds = self._network.time_left()
            stream = self._stream.start_tls(self._network.tls, server_hostname, seconds)
        except httpcore2.ConnectError as error:
            raise _TLSFailure from error
        except httpcore2.TimeoutException:
            self.close()
            raise
        return _TimedStream(stream, self._network)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


@contextlib.contextmanager
def named_errors(network: PinnedNetwork) -> Iterator[None]:
    """Turn what the HTTP library raises into an OutboundError."""
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise OutboundError("timeout", "The receiver did not answer in time.") from error
    except _TLSFailure as error:
        raise OutboundError(
            "tls", "TLS failed: the certificate or the TLS configuration is not valid."
        ) from error
    except httpcore2.ConnectError as error:
        raise OutboundError("connect", "The receiver refused the connection.") from error
    except httpcore2.NetworkError as error:
        raise OutboundError("reset", "The receiver closed the connection.") from error
    except httpcore2.ProtocolError as error:
        if network.received == 0:
            raise OutboundError(
                "reset", "The receiver closed the connection without answering."
            ) from error
        raise OutboundError("protocol", "The receiver's answer is not valid HTTP.") from error
