"""Requests as their bytes come in: where each one ends, however it is cut up."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger import connections
from taskbadger.connections import MAX_HEAD_BYTES, Arrival, BufferedSocket, Incoming

LIMIT = 1000

PLAIN = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED_HEAD = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = CHUNKED_HEAD + b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
TRAILERS = CHUNKED[:-2] + b"X-Sum: 1\r\n\r\n"
EMPTY_LINE = b"\r\n" + POST
NO_HEADERS = b"GET / HTTP/1.1\r\n\r\n"
WHOLE = [PLAIN, POST, CHUNKED, TRAILERS, EMPTY_LINE, NO_HEADERS]


@pytest.mark.parametrize("request_bytes", WHOLE)
@given(cuts=st.lists(st.integers(1, 200), max_size=6))
def test_request_is_whole_with_its_last_byte(request_bytes: bytes, cuts: list[int]) -> None:
    places = sorted({cut for cut in cuts if cut < len(request_bytes)})
    parts = [
        request_bytes[start:end]
        for start, end in zip([0, *places], [*places, len(request_bytes)], strict=True)
    ]
    incoming = Incoming(LIMIT)

    states = [incoming.feed(part) for part in parts]

    assert states == [Arrival.WAITING] * (len(parts) - 1) + [Arrival.WHOLE]
    # The trailers, which nothing reads, are taken out.
    assert incoming.take() == request_bytes.removeprefix(b"\r\n").replace(b"X-Sum: 1\r\n", b"")


@pytest.mark.parametrize(
    ("request_bytes", "state"),
    [
        (b"GET / HTTP/1.1\nHost: a\n", Arrival.MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", Arrival.MALFORMED),
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", Arrival.CUT),
        (
            b"POST /api/a/b/tasks/batch/ HTTP/1.1\r\nContent-Length: 4194304\r\n\r\n",
            Arrival.WAITING,
        ),
        (
            b"POST /api/a/b/tasks/batch?x HTTP/1.1\r\nContent-Length: 4194304\r\n\r\n",
            Arrival.WAITING,
        ),
        (b"POST /api/a/b/tasks/batch/ HTTP/1.1\r\nContent-Length: 4194305\r\n\r\n", Arrival.CUT),
        (
            b"POST http://h/api/a/b/tasks/%62atch/ HTTP/1.1\r\nContent-Length: 4194304\r\n\r\n",
            Arrival.WAITING,
        ),
        (b"PUT /api/a/b/tasks/batch/ HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", Arrival.CUT),
        (b"POST /?/tasks/batch/ HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", Arrival.CUT),
        (b"POST / HTTP/1.1\r\nContent-Length: 500000000000000000\r\n\r\n", Arrival.CUT),
        (b"POST / HTTP/1.1\r\nContent-Length: 00000000000000000005\r\n\r\n", Arrival.MALFORMED),
        (b"POST / HTTP/1.1\r\nContent-Length: five\r\n\r\n", Arrival.MALFORMED),
        (b"POST / HTTP/1.1\r\nContent-Length: \x0b5\r\n\r\n", Arrival.MALFORMED),
        (POST.replace(b"5", b"5\r\nContent-Length: 6"), Arrival.MALFORMED),
        (CHUNKED_HEAD.replace(b"chunked", b"chunked\r\nContent-Length: 6"), Arrival.MALFORMED),
        (CHUNKED_HEAD.replace(b"1.1", b"1.0"), Arrival.MALFORMED),
        *(
            (CHUNKED_HEAD.replace(b"chunked", coding), Arrival.UNSUPPORTED)
            for coding in (b"gzip, chunked", b"identity, chunked", b"gzip", b"identity", b"")
        ),
        (
            CHUNKED_HEAD.replace(b"chunked", b"gzip\r\nTransfer-Encoding: chunked"),
            Arrival.UNSUPPORTED,
        ),
        (CHUNKED_HEAD + b"zz\r\n", Arrival.MALFORMED),
        (CHUNKED_HEAD + b"-5\r\nhello\r\n", Arrival.MALFORMED),
        (CHUNKED_HEAD + b"\r\n", Arrival.MALFORMED),
        (CHUNKED_HEAD + b"5" * 9000, Arrival.MALFORMED),
        (CHUNKED_HEAD + b"5 5\r\n", Arrival.MALFORMED),
        (CHUNKED_HEAD + b"5;\x00\r\n", Arrival.MALFORMED),
        # What gunicorn refuses later, behind an answer perhaps.
        *(
            (CHUNKED_HEAD + b"5" + extension + b"\r\nhello\r\n", Arrival.MALFORMED)
            for extension in (b";", b";=x", b"; a b", b';a="b')
        ),
        *(
            (CHUNKED_HEAD + b"5" + extension + b"\r\nhello\r\n", Arrival.WAITING)
            for extension in (b";a", b" ; a = b;c", b';a="b; \\" c"')
        ),
        (CHUNKED_HEAD + b"5\r\nhelloXX0\r\n\r\n", Arrival.MALFORMED),
        (CHUNKED_HEAD + b"0\r\nX: 1\nY: 2\r\n", Arrival.MALFORMED),
        (CHUNKED_HEAD + b"0\r\nX 1\r\n\r\n", Arrival.MALFORMED),
        (CHUNKED_HEAD + b"0\r\nX : 1\r\n\r\n", Arrival.MALFORMED),
        (CHUNKED_HEAD + b"0\r\nX: 1\r\n 2\r\n\r\n", Arrival.MALFORMED),
        (CHUNKED_HEAD + b"0\r\n: 1\r\n\r\n", Arrival.MALFORMED),
        (CHUNKED_HEAD + b"0\r\nX: \x00\r\n\r\n", Arrival.MALFORMED),
        (CHUNKED_HEAD + b"0\r\n" + b"X" * (MAX_HEAD_BYTES + 1), Arrival.LONG_HEAD),
        (CHUNKED_HEAD + b"fff\r\n" + b"x" * 1000, Arrival.WAITING),
        (CHUNKED_HEAD + b"fff\r\n" + b"x" * 1001, Arrival.CUT),
        (CHUNKED_HEAD + b"ffffffffff\r\nhello", Arrival.WAITING),
        (CHUNKED_HEAD + b"1f4\r\n" + b"x" * 500 + b"\r\n1f5\r\n" + b"x" * 500, Arrival.WAITING),
        (
            CHUNKED_HEAD + b"1f4\r\n" + b"x" * 500 + b"\r\n1f5\r\n" + b"x" * 501,
            Arrival.CUT,
        ),
        (CHUNKED_HEAD + (b"1;" + b"x" * 8000 + b"\r\nx\r\n") * 10, Arrival.TOO_MANY_CHUNKS),
        (CHUNKED_HEAD + b"1\r\nx\r\n" * 1000, Arrival.WAITING),
        (CHUNKED_HEAD + b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n", Arrival.WHOLE),
        (CHUNKED_HEAD + b"3e8\r\n" + b"x" * 1000, Arrival.WAITING),
        (b"GET /" + b"x" * MAX_HEAD_BYTES, Arrival.LONG_HEAD),
        (PLAIN[:-2] + b"X: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n", Arrival.LONG_HEAD),
    ],
)
def test_what_is_not_waited_for(request_bytes: bytes, state: Arrival) -> None:
    assert Incoming(LIMIT).feed(request_bytes) is state


def test_client_that_expects_a_continue_is_known_by_its_head() -> None:
    incoming = Incoming(LIMIT)

    state = incoming.feed(b"PUT / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n")

    assert (state, incoming.has_head, incoming.expects_continue) == (Arrival.WAITING, True, True)


def test_client_of_http_1_0_gets_no_continue() -> None:
    incoming = Incoming(LIMIT)

    incoming.feed(b"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")

    assert (incoming.has_head, incoming.expects_continue) == (True, False)


def test_empty_lines_begin_a_request() -> None:
    incoming = Incoming(LIMIT)

    assert incoming.feed(b"\r\n") is Arrival.WAITING
    assert (incoming.has_begun, bytes(incoming.data)) == (True, b"")


def test_next_request_begins_behind_the_last() -> None:
    incoming = Incoming(LIMIT)
    incoming.feed(POST)

    assert incoming.take() == POST
    assert (incoming.has_head, bytes(incoming.data)) == (False, b"")
    assert incoming.feed(PLAIN) is Arrival.WHOLE


def test_socket_keeps_what_the_client_does_not_read() -> None:
    ours, theirs = socket.socketpair()
    buffered = BufferedSocket(ours)
    text = bytes(range(256)) * 4000

    buffered.sendall(text)

    assert not buffered.flush()
    received = bytearray()
    while len(received) < len(text):
        received += theirs.recv(100_000)
        buffered.flush()
    assert bytes(received) == text
    assert buffered.flush()
    theirs.close()
    buffered.release()


def test_parts_of_a_short_answer_are_sent_together() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    buffered = BufferedSocket(ours)

    buffered.sendall(b"head")
    buffered.sendall(b"body")

    with pytest.raises(BlockingIOError):
        theirs.recv(100)
    assert buffered.flush()
    assert theirs.recv(100) == b"headbody"
    theirs.close()
    buffered.release()


def test_the_file_of_a_closed_socket_is_not_free_before_it_is_released() -> None:
    ours, theirs = socket.socketpair()
    buffered = BufferedSocket(ours)

    buffered.close()

    assert theirs.recv(100) == b""
    assert buffered.fileno() == ours.fileno() >= 0
    theirs.close()
    buffered.release()
    assert ours.fileno() == -1


def test_body_of_too_many_chunks_is_refused() -> None:
    incoming = Incoming(10**6)
    chunks = b"1\r\nx\r\n" * 100

    incoming.feed(CHUNKED_HEAD)

    assert {incoming.feed(chunks) for _ in range(163)} == {Arrival.WAITING}
    assert incoming.feed(chunks) is Arrival.TOO_MANY_CHUNKS


@pytest.mark.parametrize("cut", range(1, 12))
def test_end_of_trailers_is_found_however_it_is_cut(cut: int) -> None:
    incoming = Incoming(LIMIT)
    trailers = b"X-Sum: 1\r\n\r\n"

    states = [incoming.feed(CHUNKED_HEAD + b"0\r\n")]
    states += [incoming.feed(part) for part in (trailers[:cut], trailers[cut:])]

    assert states == [Arrival.WAITING, Arrival.WAITING, Arrival.WHOLE]


def test_socket_gives_the_request_in_parts_and_then_its_end() -> None:
    """gunicorn's parser of chunks copies all that one read gave, for every chunk."""
    ours, theirs = socket.socketpair()
    theirs.sendall(b"the next request")
    buffered = BufferedSocket(ours)
    buffered.set_request(b"abcdefgh")

    parts = [buffered.recv(3), buffered.recv(2)]
    rest = buffered.take_rest()

    assert (parts, rest, buffered.recv(10)) == ([b"abc", b"de"], b"fgh", b"")
    theirs.close()
    buffered.release()


@contextmanager
def reading(theirs: socket.socket, bytes_at_once: int) -> Iterator[None]:
    """Read a hundred times a second until the block ends."""
    stopping = threading.Event()

    def read() -> None:
        while not stopping.wait(0.01):
            with suppress(BlockingIOError):
                theirs.recv(bytes_at_once)

    theirs.setblocking(False)
    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[BufferedSocket, socket.socket]]:
    """A socket whose long answers hold a thread soon, and its client."""
    monkeypatch.setattr(connections, "MAX_UNSENT_BYTES", 10_000)
    monkeypatch.setattr(connections, "WRITE_SECONDS", 0.5)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield BufferedSocket(ours), theirs


def test_client_that_reads_nothing_of_a_long_answer_ends_it(
    pair: tuple[BufferedSocket, socket.socket],
) -> None:
    with pytest.raises(BrokenPipeError):
        pair[0].sendall(b"x" * 5_000_000)


def test_client_that_reads_too_slowly_ends_a_long_answer(
    pair: tuple[BufferedSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MIN_BYTES_PER_SECOND", 100_000_000)

    with reading(pair[1], 1000), pytest.raises(BrokenPipeError):
        pair[0].sendall(b"x" * 5_000_000)


def test_client_that_reads_steadily_gets_a_long_answer(
    pair: tuple[BufferedSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "WRITE_SECONDS", 30.0)
    monkeypatch.setattr(connections, "MIN_BYTES_PER_SECOND", 1000)
    ours = pair[0]
    ours.set_request(b"")

    with reading(pair[1], 65_536):
        ours.sendall(b"x" * 2_000_000)

    assert ours.unsent() <= 10_000


def test_client_that_keeps_up_for_a_while_may_stall_again(
    pair: tuple[BufferedSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MIN_BYTES_PER_SECOND", 10_000_000)
    ours, theirs = pair

    def answer(size: int, *, stall: float) -> None:
        """Send so much to a client that stalls and then reads it all."""
        client = threading.Timer(stall, _read, (theirs, size))
        client.start()
        ours.sendall(b"x" * size)
        while not ours.flush():
            pass
        client.join()

    answer(400_000, stall=0.35)  # Of the half second that it may.
    for _ in range(100):
        answer(50_000, stall=0)
    answer(400_000, stall=0.35)


def _read(theirs: socket.socket, size: int) -> None:
    while size:
        size -= len(theirs.recv(size))
