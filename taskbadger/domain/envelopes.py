"""Envelopes, in which clients of Sentry send all they have to say.

The format: https://develop.sentry.dev/sdk/foundations/transport/envelopes/. Nothing here keeps
more than a part of an envelope in memory, however large it or its contents are.
"""

import io
import json
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import brotli

CHECK_IN = "check_in"
MAX_CONTENT = 100 * 1024 * 1024
"""Bytes of an envelope once it is decompressed."""
MAX_CHECK_IN = 100 * 1024
"""Bytes of a check-in."""
MAX_CHECK_INS = 100
"""Check-ins in an envelope."""
_MAX_LINE = 64 * 1024
_CHUNK = 64 * 1024


class TooLarge(Exception):
    """An envelope is over a limit."""


class BadBody(Exception):
    """What was sent is not compressed as it claims to be."""


class BadEnvelope(Exception):
    """An envelope is broken. The text says where."""


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes; none at the end."""


@dataclass(slots=True)
class Envelope:
    """What is in an envelope, as far as it is of use here."""

    header: dict[str, Any]
    check_ins: list[bytes] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    """How many items of other types there were."""


class _Limited(io.RawIOBase):
    """The bytes of a stream; raises TooLarge after a limit."""

    def __init__(self, stream: Readable, limit: int) -> None:
        super().__init__()
        self._stream, self._left = stream, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        # Of a body over the limit, the web server has no more than one byte too many.
        chunk = self._stream.read(min(len(buffer), self._left + 1))
        self._left -= len(chunk)
        if self._left < 0:
            raise TooLarge
        buffer[: len(chunk)] = chunk
        return len(chunk)


class _Decompressor(Protocol):
    """Decompresses what it is given, at most so much at once."""

    def feed(self, compressed: bytes, size: int) -> bytes:
        """Return up to *size* bytes of content; raises an error of its library."""

    @property
    def wants_more(self) -> bool:
        """Whether it has nothing left to give without more input."""

    @property
    def is_done(self) -> bool:
        """Whether the content has ended."""


class _Zlib:
    """gzip and deflate."""

    def __init__(self, window_bits: int) -> None:
        self._inner = zlib.decompressobj(window_bits)

    def feed(self, compressed: bytes, size: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + compressed, size)

    @property
    def wants_more(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def is_done(self) -> bool:
        return self._inner.eof


class _Brotli:
    """br."""

    def __init__(self) -> None:
        self._inner = brotli.Decompressor()
        self._rest = b""
        """Content beyond what was asked for: the library gives whole blocks."""

    def feed(self, compressed: bytes, size: int) -> bytes:
        found: bytes = self._rest
        if not found or compressed:
            found += self._inner.process(compressed, output_buffer_limit=size)
        self._rest = found[size:]
        return found[:size]

    @property
    def wants_more(self) -> bool:
        return not self._rest and bool(self._inner.can_accept_more_data())

    @property
    def is_done(self) -> bool:
        return not self._rest and bool(self._inner.is_finished())


class _Inflated:
    """The content of a stream that is compressed."""

    def __init__(self, stream: Readable, decompressor: _Decompressor) -> None:
        self._stream, self._inner = stream, decompressor

    def read(self, size: int, /) -> bytes:
        while not self._inner.is_done:
            wants_more = self._inner.wants_more
            compressed = self._stream.read(_CHUNK) if wants_more else b""
            try:
                content = self._inner.feed(compressed, size)
            except (zlib.error, brotli.error) as error:
                raise BadBody from error
            if content:
                return content
            if wants_more and not compressed:
                raise BadBody  # It is cut off.
        return b""


_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS),
    "br": _Brotli,
}
ENCODINGS = ("identity", *_DECOMPRESSORS)


def open_body(stream: Readable, encoding: str, limit: int) -> io.BufferedReader:
    """Return the content of a body in one of ENCODINGS.

    Reading it raises TooLarge after *limit* bytes of the body, and BadBody.
    """
    sent: Readable = io.BufferedReader(_Limited(stream, limit), _CHUNK)
    content = sent if encoding == "identity" else _Inflated(sent, _DECOMPRESSORS[encoding]())
    return io.BufferedReader(_Limited(content, MAX_CONTENT), _CHUNK)


def read_header(content: io.BufferedReader) -> dict[str, Any]:
    """Read the first line of an envelope; raises BadEnvelope."""
    if not content.peek(1):
        raise BadEnvelope("empty request body")
    return _read_line(content, "invalid envelope header")


def read_items(content: io.BufferedReader, header: dict[str, Any]) -> Envelope:
    """Read what follows the *header* of an envelope; raises BadEnvelope and TooLarge."""
    envelope = Envelope(header)
    while content.peek(1):
        item = _read_line(content, "invalid item header")
        kind, length = item.get("type"), item.get("length")
        if not isinstance(kind, str) or not _is_length(length):
            raise BadEnvelope("invalid item header")
        if kind != CHECK_IN:
            envelope.dropped[kind[:50]] += 1
            _skip(content, length)
            continue
        if len(envelope.check_ins) == MAX_CHECK_INS:
            raise TooLarge
        envelope.check_ins.append(_read_payload(content, length))
    return envelope


def read_json(text: bytes | str) -> Any:
    """Read JSON of a client; raises ValueError."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _is_length(length: Any) -> bool:
    return length is None or (type(length) is int and length >= 0)


def _read_line(content: io.BufferedReader, problem: str) -> dict[str, Any]:
    try:
        found = read_json(content.readline(_MAX_LINE))
    except ValueError as error:
        raise BadEnvelope(problem) from error
    if not isinstance(found, dict):
        raise BadEnvelope(problem)
    return found


def _read_payload(content: io.BufferedReader, length: int | None) -> bytes:
    """Read a check-in: so many bytes and a line break, or up to the next line break."""
    if length is None:
        payload = content.readline(MAX_CHECK_IN + 1).removesuffix(b"\n")
    else:
        payload = content.read(min(length, MAX_CHECK_IN + 1))
    if len(payload) > MAX_CHECK_IN:
        raise TooLarge
    if length is not None:
        _end_payload(content, length - len(payload))
    return payload


def _skip(content: io.BufferedReader, length: int | None) -> None:
    """Skip the payload of an item."""
    if length is None:
        while (line := content.readline(_CHUNK)) and not line.endswith(b"\n"):
            pass
        return
    while length and (chunk := content.read(min(length, _CHUNK))):
        length -= len(chunk)
    _end_payload(content, length)


def _end_payload(content: io.BufferedReader, missing: int) -> None:
    if missing:
        raise BadEnvelope("unexpected end of file")
    if content.read(1) not in (b"\n", b""):
        raise BadEnvelope("missing newline after header or payload")
