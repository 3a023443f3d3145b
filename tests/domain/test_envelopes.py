"""Envelopes of Sentry's clients: what may be in them, and what ends their reading."""

import gzip
import io
import json
import random
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest

from taskbadger.domain import envelopes
from taskbadger.domain.envelopes import BadBody, BadEnvelope, Envelope, TooLarge

LIMIT = 2**20


def pack(*items: tuple[dict[str, Any], bytes], header: Any = None) -> bytes:
    """Return an envelope of items with their headers."""
    lines = [json.dumps(header or {}).encode()]
    for item, payload in items:
        lines += [json.dumps(item).encode(), payload]
    return b"\n".join(lines) + b"\n"


def read(body: bytes, encoding: str = "identity", limit: int = LIMIT) -> Envelope:
    content = envelopes.open_body(io.BytesIO(body), encoding, limit)
    return envelopes.read_items(content, envelopes.read_header(content))


PAYLOAD = b'{"monitor_slug":"job","status":"ok"}'
ONE = ({"type": "check_in", "length": len(PAYLOAD)}, PAYLOAD)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (pack(ONE), "identity"),
        (gzip.compress(pack(ONE)), "gzip"),
        (zlib.compress(pack(ONE)), "deflate"),
        (brotli.compress(pack(ONE)), "br"),
        (brotli.compress(pack(({"type": "event"}, b"x" * 10**6), ONE), quality=1), "br"),
        (pack(ONE).removesuffix(b"\n"), "identity"),
        (pack(({"type": "check_in"}, PAYLOAD)), "identity"),
        (pack(({"type": "check_in"}, PAYLOAD)).removesuffix(b"\n"), "identity"),
        (pack(({"type": "check_in", "length": None, "x": "ä"}, PAYLOAD)), "identity"),
        (pack(({"type": "attachment", "length": 5}, b"a\n\n\0b"), ONE), "identity"),
        (pack(({"type": "attachment", "length": 0}, b""), ONE), "identity"),
        (pack(({"type": "session"}, b"{}"), ONE, ({"type": "event"}, b"x" * 200_000)), "identity"),
        (gzip.compress(pack(({"type": "x" * 99, "length": 10**6}, b"x" * 10**6), ONE)), "gzip"),
    ],
)
def test_check_in_is_found_among_all_else(body: bytes, encoding: str) -> None:
    assert read(body, encoding).check_ins == [PAYLOAD]


def test_other_items_are_counted_and_dropped() -> None:
    found = read(pack(({"type": "event"}, b"{}"), ({"type": "event"}, b""), ({"type": "x"}, b"")))

    assert (found.check_ins, found.dropped) == ([], {"event": 2, "x": 1})


def test_header_alone_is_an_empty_envelope() -> None:
    assert read(b'{"event_id":"x"}') == Envelope({"event_id": "x"})


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "empty request body"),
        (b"{", "invalid envelope header"),
        (b"\n", "invalid envelope header"),
        (b"[]\n", "invalid envelope header"),
        (b"\xff\n", "invalid envelope header"),
        (b'{"a":NaN}\n', "invalid envelope header"),
        (b'{"a":1' + b"0" * 5000 + b"}\n", "invalid envelope header"),
        (b"[" * 60_000 + b"\n", "invalid envelope header"),
        (b'{"a":"' + b"x" * 70_000 + b'"}\n', "invalid envelope header"),
        (b"{}\nx\n{}", "invalid item header"),
        (b"{}\n{}\n{}", "invalid item header"),
        (b'{}\n{"type":5}\n{}', "invalid item header"),
        (b'{}\n{"type":"event","length":-1}\n{}', "invalid item header"),
        (b'{}\n{"type":"event","length":"2"}\n{}', "invalid item header"),
        (b'{}\n{"type":"event","length":2.0}\n{}', "invalid item header"),
        (b'{}\n{"type":"event","length":true}\n{}', "invalid item header"),
        (b'{}\n{"type":"event","length":3}\n{}', "unexpected end of file"),
        (b'{}\n{"type":"check_in","length":3}\n{}', "unexpected end of file"),
        (b'{}\n{"type":"event","length":1' + b"0" * 4000 + b"}\n{}", "unexpected end of file"),
        (b'{}\n{"type":"event","length":1}\n{}', "missing newline after header or payload"),
        (b'{}\n{"type":"check_in","length":1}\n{}', "missing newline after header or payload"),
        (pack(ONE) + b"\n", "invalid item header"),
    ],
)
def test_broken_envelope_is_refused(body: bytes, problem: str) -> None:
    with pytest.raises(BadEnvelope, match=f"^{problem}$"):
        read(body)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
@pytest.mark.parametrize("body", [b"x", b"", pack(ONE), b"\x1f\x8b" * 99, b"\x78\x9c"])
def test_body_that_is_not_compressed_as_it_says_is_refused(encoding: str, body: bytes) -> None:
    with pytest.raises(BadBody):
        read(body, encoding)


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress)],
)
def test_body_that_is_cut_off_is_refused(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    whole = compress(pack(({"type": "event", "length": 9900}, random.Random(5).randbytes(9900))))

    with pytest.raises(BadBody):
        read(whole[:-9], encoding)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (pack(({"type": "event"}, b"x" * LIMIT)), "identity"),
        (pack(({"type": "check_in"}, b" " * 102_401)), "identity"),
        (pack(({"type": "check_in", "length": 102_401}, b" " * 102_401)), "identity"),
        (pack(({"type": "check_in", "length": 2**60}, b" " * 102_401)), "identity"),
        (pack(*[ONE] * 101), "identity"),
        (gzip.compress(pack(({"type": "event"}, b"x" * 600_000))), "gzip"),
        (gzip.compress(pack(({"type": "event", "length": 600_000}, b"x" * 600_000))), "gzip"),
        (zlib.compress(b" " * 600_000), "deflate"),
        (brotli.compress(pack(({"type": "event"}, b"x" * 600_000)), quality=1), "br"),
        (gzip.compress(pack(*[({"type": "event"}, b"")] * 40_000)), "gzip"),
    ],
)
def test_too_large_envelopes_are_refused(
    monkeypatch: pytest.MonkeyPatch, body: bytes, encoding: str
) -> None:
    monkeypatch.setattr(envelopes, "MAX_CONTENT", 500_000)

    with pytest.raises((TooLarge, BadEnvelope)) as caught:
        read(body, encoding)

    # The first line has a limit of its own.
    assert isinstance(caught.value, TooLarge) or body.startswith(b"\x78")


def test_not_more_is_read_than_a_byte_too_many() -> None:
    """The web server has no more of a body over the limit."""

    class Cut(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert self.tell() + size <= LIMIT + 1
            return super().read(size)

    body = pack(({"type": "event"}, b"x" * (2 * LIMIT)))[: LIMIT + 1]
    content = envelopes.open_body(Cut(body), "identity", LIMIT)
    with pytest.raises(TooLarge):
        envelopes.read_items(content, envelopes.read_header(content))


def gzip_bomb(head: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [packer.compress(head), *(packer.compress(bytes(2**20)) for _ in range(101))]
    return b"".join([*parts, packer.flush()])


def brotli_bomb(head: bytes) -> bytes:
    packer = brotli.Compressor(quality=1)
    parts = [packer.process(head), *(packer.process(bytes(2**20)) for _ in range(101))]
    return b"".join([*parts, packer.finish()])


@pytest.mark.parametrize(("encoding", "build"), [("gzip", gzip_bomb), ("br", brotli_bomb)])
def test_bomb_takes_little_memory(encoding: str, build: Callable[[bytes], bytes]) -> None:
    bomb = build(pack(({"type": "event"}, b"")).removesuffix(b"\n"))
    assert len(bomb) < LIMIT
    tracemalloc.start()

    with pytest.raises(TooLarge):
        read(bomb, encoding)

    assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    tracemalloc.stop()
