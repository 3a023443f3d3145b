"""Connections of the web server: requests and answers are buffered, so no thread waits.

A thread that reads from or writes to a slow client serves nobody else meanwhile. Here a request
is buffered until gunicorn's parser can read it whole, and an answer until its client has read
it. ``web_worker`` does both from one thread for all connections.
"""

import errno
import os
import re
import select
import socket
import time
from contextlib import suppress
from enum import Enum, auto
from typing import Any
from urllib.parse import unquote_to_bytes

from gunicorn.workers.gthread import TConn

from taskbadger.settings import MAX_BATCH_BYTES

MAX_HEAD_BYTES = 64 * 1024
"""The longest request line and headers; also the longest trailers of a chunked body."""
MAX_UNSENT_BYTES = 4 * 1024 * 1024
"""How much of an answer waits in memory for its client; a longer one holds its thread."""
SMALL_ANSWER_BYTES = 16 * 1024
"""An answer of less than this is sent at once when it is whole."""
WRITE_SECONDS = 30.0
"""How long a client may read nothing of an answer before the connection is closed."""
MIN_BYTES_PER_SECOND = 16 * 1024
"""How fast a client must read while its answer holds a thread; it may pause for WRITE_SECONDS."""
READ_SIZE = 64 * 1024

_FRAMING = re.compile(
    rb"\r\n(content-length|transfer-encoding|expect)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE
)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_POST = re.compile(rb"POST ([^ ?#\r\n]*)")
_BARE_NEWLINE = re.compile(rb"(?<!\r)\n")
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb"\"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*\""
_CHUNK_SIZE = re.compile(
    rb"([0-9A-Fa-f]{1,16})"
    rb"(?:[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*"
)
"""The size of a chunk and its extensions (RFC 9112 section 7.1.1)."""
_TRAILERS = re.compile(rb"(?:" + _TOKEN + rb":[^\r\n\x00]*\r\n)*")
_MAX_CHUNKS = 16_384
_MAX_CHUNK_LINE = 8190
_BYTES_PER_BODY_BYTE = 8
"""How much a chunked body may take on the wire; chunks of one byte take six times its size."""


class Arrival(Enum):
    """How much of a request has come in."""

    WAITING = auto()
    WHOLE = auto()
    """All of it: the parser needs no more bytes."""
    MALFORMED = auto()
    """Where it ends is ambiguous, or its trailers are malformed."""
    UNSUPPORTED = auto()
    """The body has a transfer coding other than chunked."""
    CUT = auto()
    """All but the rest of a body over the limit, which the application refuses unread."""
    TOO_MANY_CHUNKS = auto()
    """The body is in so many small chunks that they take too much memory."""
    LONG_HEAD = auto()
    """Longer than MAX_HEAD_BYTES, and its end has not arrived."""


class Incoming:
    """The bytes of the next request on a connection, up to where it ends."""

    def __init__(self, max_body: int) -> None:
        self.data = bytearray()
        self.has_begun = False
        """Whether anything has come in, if only an empty line."""
        self.expects_continue = False
        """Whether the client waits for “100 Continue” before it sends the body."""
        self._max_body = max_body
        self._searched = 0
        self._body: int | None = None
        """Where the body begins, once the head is there."""
        self._length = 0
        self._limit = max_body
        """How long its body may be."""
        self._chunks: _Chunks | None = None

    @property
    def has_head(self) -> bool:
        """Say whether the request line and all headers are there."""
        return self._body is not None

    def feed(self, data: bytes) -> Arrival:
        """Take what came in; say how much of the request is there now."""
        self.has_begun = True
        self.data += data
        if self._body is None:
            state = self._find_head()
            if state is not None:
                return state
        if self._chunks is not None:
            return self._chunks.scan(self.data)
        assert self._body is not None  # noqa: S101 - for the type checker: the head is there
        if self._length > self._limit:
            return Arrival.CUT
        missing = self._body + self._length - len(self.data)
        return Arrival.WAITING if missing > 0 else Arrival.WHOLE

    def take(self) -> bytes:
        """Return all bytes so far, and begin with the next request."""
        data = bytes(self.data)
        self.__init__(self._max_body)  # type: ignore[misc]  # the same fields as at first
        return data

    def _find_head(self) -> Arrival | None:
        """Look for the end of the headers; return None when they are there."""
        while self.data[:2] == b"\r\n":  # RFC 9112 section 2.2: empty lines before a request.
            del self.data[:2]
        end = self.data.find(b"\r\n\r\n", max(self._searched - 3, 0))
        head = self.data if end < 0 else self.data[: end + 2]
        if _BARE_NEWLINE.search(head, max(self._searched - 1, 0)):
            return Arrival.MALFORMED
        if end < 0:
            self._searched = len(self.data)
            return Arrival.LONG_HEAD if len(self.data) > MAX_HEAD_BYTES else Arrival.WAITING
        if end > MAX_HEAD_BYTES:
            return Arrival.LONG_HEAD
        self._body = end + 4
        posted = _POST.match(head)
        if posted and unquote_to_bytes(posted[1]).rstrip(b"/").endswith(b"/tasks/batch"):
            self._limit = max(self._max_body, MAX_BATCH_BYTES)
        return self._read_framing(head)

    def _read_framing(self, head: bytearray) -> Arrival | None:
        """Read how the body is framed; return None unless that is in doubt.

        The parser must read the framing in the same way: otherwise a thread could take bytes of one
        request for another.
        """
        fields: dict[bytes, list[bytes]] = {}
        for name, value in _FRAMING.findall(head):
            fields.setdefault(name.lower(), []).append(value.strip(b" \t").lower())
        lengths = fields.get(b"content-length", [])
        codings = fields.get(b"transfer-encoding", [])
        is_1_0 = head.partition(b"\r\n")[0].endswith(b"HTTP/1.0")
        self.expects_continue = fields.get(b"expect") == [b"100-continue"] and not is_1_0
        if codings:
            if lengths or is_1_0:
                return Arrival.MALFORMED
            if codings != [b"chunked"]:
                return Arrival.UNSUPPORTED
            self._chunks = _Chunks(self._body or 0, self._limit)
        elif lengths:
            if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
                return Arrival.MALFORMED
            self._length = int(lengths[0])
        return None


class _Chunks:
    """Finds the end of a chunked body (RFC 9112 section 7.1)."""

    def __init__(self, start: int, max_body: int) -> None:
        self._position = start
        self._size = 0
        """The length of all chunks whose size has been read."""
        self._max_body = max_body
        self._cut_at: int | None = None
        """The position at which the limit is exceeded by a byte; None if it is not known to be."""
        self._end = start + _BYTES_PER_BODY_BYTE * max_body + MAX_HEAD_BYTES
        self._has_chunk = False
        """Whether ``_position`` is behind a chunk, so that a line end must precede it."""
        self._in_trailers = False
        self._count = 0
        self._searched = 0
        """Where to go on looking for the end of the trailers."""

    def scan(self, data: bytearray) -> Arrival:
        while not self._in_trailers:
            if self._cut_at is not None:
                return Arrival.CUT if len(data) >= self._cut_at else Arrival.WAITING
            if self._position > len(data):
                return Arrival.WAITING
            if self._has_chunk and data[self._position - 2 : self._position] != b"\r\n":
                return Arrival.MALFORMED
            state = self._read_size(data)
            if state is not None:
                return state
        return self._scan_trailers(data)

    def _read_size(self, data: bytearray) -> Arrival | None:
        """Read the size of the next chunk and go behind that chunk; None if this succeeds."""
        end = data.find(b"\r\n", self._position, self._position + _MAX_CHUNK_LINE + 2)
        if end < 0:
            is_long = len(data) - self._position > _MAX_CHUNK_LINE
            return Arrival.MALFORMED if is_long else Arrival.WAITING
        found = _CHUNK_SIZE.fullmatch(data, self._position, end)
        if found is None:
            return Arrival.MALFORMED
        size = int(found[1], 16)
        self._size += size
        self._count += 1
        if end > self._end or self._count > _MAX_CHUNKS:
            return Arrival.TOO_MANY_CHUNKS
        if self._size > self._max_body:
            self._cut_at = end + 2 + size - (self._size - self._max_body) + 1
        self._position = end + 2 + (size + 2 if size else 0)
        self._has_chunk = True
        self._in_trailers = size == 0
        return None

    def _scan_trailers(self, data: bytearray) -> Arrival:
        """Look for the end of the trailers, and take them out: nothing reads them.

        gunicorn would check them only while the application reads the body.
        """
        start = self._position
        if data[start : start + 2] == b"\r\n":
            return Arrival.WHOLE
        searched = max(self._searched, start)
        end = data.find(b"\r\n\r\n", max(searched - 3, start))
        if end >= 0:
            is_valid = _TRAILERS.fullmatch(data, start, end + 2)
            del data[start : end + 2]
            return Arrival.WHOLE if is_valid else Arrival.MALFORMED
        if _BARE_NEWLINE.search(data, max(searched - 1, start)):
            return Arrival.MALFORMED
        self._searched = len(data)
        return Arrival.LONG_HEAD if len(data) - start > MAX_HEAD_BYTES else Arrival.WAITING


class BufferedSocket:
    """A socket that a thread uses without waiting for the client.

    It has the methods of a socket that gunicorn calls. Reading gives the buffered request and
    then the end, as if the client had closed. What the client has not read of an answer is kept.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._request = memoryview(b"")
        self._unsent = bytearray()
        self._patience = WRITE_SECONDS
        """Seconds for which a thread still waits for the client."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def set_request(self, request: bytes) -> None:
        """Let ``recv`` give this request."""
        self._request = memoryview(request)
        self._patience = WRITE_SECONDS

    def take_rest(self) -> bytes:
        """Return what ``recv`` has not given."""
        rest, self._request = bytes(self._request), memoryview(b"")
        return rest

    def recv(self, size: int) -> bytes:
        """Return the next part, as from the network: the parser copies what it has not used."""
        part, self._request = bytes(self._request[:size]), self._request[size:]
        return part

    def read_now(self) -> bytes:
        """Return what has come in, nothing at its end; raises BlockingIOError and OSError."""
        return os.read(self._socket.fileno(), READ_SIZE)

    def send(self, data: bytes) -> int:
        """Send nothing: gunicorn's only use is a “100 Continue”, which ``web_worker`` has sent."""
        return len(data)

    def sendall(self, data: bytes) -> None:
        """Keep *data* for ``flush``, so that head and body go out together; send what is long."""
        self._unsent += data
        if len(self._unsent) < SMALL_ANSWER_BYTES or self.flush():
            return
        if len(self._unsent) <= MAX_UNSENT_BYTES:
            return
        waiting = select.poll()
        waiting.register(self._socket, select.POLLOUT)
        while len(self._unsent) > MAX_UNSENT_BYTES:
            self._wait_for_client(waiting)

    def _wait_for_client(self, waiting: select.poll) -> None:
        """Send a part; raises BrokenPipeError when the client reads nothing, or too slowly."""
        began = time.monotonic()
        is_reading = waiting.poll(max(self._patience, 0) * 1000)
        self._patience -= time.monotonic() - began
        if is_reading:
            self.flush()
        if self._patience <= 0:
            raise BrokenPipeError(errno.EPIPE, "the client does not read its answer")

    def flush(self) -> bool:
        """Send what can be sent now; say whether nothing is left. Raises OSError."""
        while self._unsent:
            try:
                sent = os.write(self._socket.fileno(), self._unsent)
            except BlockingIOError:
                return False
            del self._unsent[:sent]
            self._patience = min(self._patience + sent / MIN_BYTES_PER_SECOND, WRITE_SECONDS)
        return True

    def unsent(self) -> int:
        """Return how many bytes wait for the client."""
        return len(self._unsent)

    def setblocking(self, flag: bool) -> None:
        """Change nothing: no one waits."""

    def gettimeout(self) -> float | None:
        return 0.0

    def settimeout(self, seconds: float | None) -> None:
        """Change nothing: no one waits."""

    def getsockname(self) -> Any:
        return self._socket.getsockname()

    def shutdown(self, how: int) -> None:
        self._socket.shutdown(how)

    def close(self) -> None:
        """End the connection. The file stays open until ``release``: the poller may watch it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Close the file, which nothing watches any more."""
        self._socket.close()


class Connection(TConn):  # type: ignore[misc]  # gunicorn ships no types
    """A client's connection, with what it has sent of its next request."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any, limit: int) -> None:
        super().__init__(cfg, sock, client, server)
        self.sock = BufferedSocket(sock)
        self.data_ready = True  # So gunicorn does not wait for the first byte.
        self.incoming = Incoming(limit)
        self.buffered_bytes = 0
        """How much memory its present request takes."""
        self.arrived = 0.0
        """When its present request was whole, on the monotonic clock."""
        self.watched_for = 0
        """The event for which the poller watches it, if any."""
        self.early = b""
        """What came in behind the request that is being served."""
        self.is_closed = False
        self.is_cut = False
        """Whether the rest of its body was left unread, so that no request can follow."""
        self.stays_open = False
        """Whether another request may follow the answer."""

    def init(self) -> None:
        """Give the request to the parser."""
        super().init()
        self.sock.set_request(self.incoming.take())

    def keep_early(self) -> None:
        """Keep what came in behind the request that was served."""
        self.early = self.parser.unreader.take_buffered() + self.sock.take_rest()
