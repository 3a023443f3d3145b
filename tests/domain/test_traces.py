"""Traces of Python, Node, Java, Go and Ruby."""

import pytest
from traces import FOREIGN, GO, GROUP, HANDLING, JAVA, NODE, RETRY, RUBY, SYNTAX, TRACE

from taskbadger.domain.traces import Failure, Frame, read, read_retry

PLACE = Frame("job.py", "run")


@pytest.mark.parametrize(
    ("text", "words", "frame"),
    [
        (TRACE + "ValueError: row 5", "ValueError: row 5", PLACE),
        (TRACE + FOREIGN + "a.b.Boom", "Boom", PLACE),
        (TRACE + "Boom:\n  row 5 is bad", "Boom: row 5 is bad", PLACE),
        (TRACE + "__main__.f.<locals>.Boom: x\nnote 5", "Boom: x", PLACE),
        (
            TRACE + "KeyError: 'a'\n" + HANDLING + TRACE.replace("run", "end") + "Boom: b",
            "Boom: b (from KeyError)",
            Frame("job.py", "end"),
        ),
        (
            TRACE + "ValueError: row 5\n" + HANDLING + TRACE + RETRY,
            "ValueError: row 5",
            PLACE,
        ),
        (TRACE + RETRY, "ValueError: row 5", PLACE),
        (GROUP, "ValueError: row 5 (from ExceptionGroup)", Frame("job.py", "main")),
        (SYNTAX, "SyntaxError: invalid syntax", Frame("settings.py")),
        (
            NODE + "    at async Shop.pay (file:///a/shop.js:3:4)\n",
            "TypeError: a 5",
            Frame("shop.js", "Shop.pay"),
        ),
        (
            JAVA
            + "\tat com.acme.Shop.lambda$pay$0(Shop.java:3)\nCaused by: a.Inner: x\n\t... 1 more",
            "Boom: id 5 (from Inner)",
            Frame("Shop.java", "Shop.lambda$pay"),
        ),
        (
            GO + "example.com/shop.(*Cart).Pay(0xc00, 5)\n\t/srv/shop/cart.go:9 +0x1d\n",
            "panic: id 5",
            Frame("cart.go", "shop.(*Cart).Pay"),
        ),
        (
            RUBY + "\tfrom /srv/app/a.rb:3:in `block in find'\n",
            "KeyError: key not found: 5",
            Frame("a.rb", "find"),
        ),
    ],
)
def test_trace_is_read(text: str, words: str, frame: Frame | None) -> None:
    found = read(text)

    assert found
    context = f" (from {found.context})" if found.context else ""
    message = f": {found.message}" if found.message else ""
    assert (f"{found.type}{message}{context}", found.frame) == (words, frame)


@pytest.mark.parametrize(
    ("path", "is_own"),
    [
        ("/srv/python/job.py", True),
        ("C:\\jobs\\job.py", True),
        ("/srv/venv/lib/python3.12/site-packages/job.py", False),
        ("/usr/lib/python3/dist-packages/job.py", False),
        ("/usr/lib/python3.12/job.py", False),
        ("C:\\Python312\\Lib\\job.py", False),
        ("<frozen importlib._bootstrap>", False),
    ],
)
def test_frames_of_libraries_are_not_the_users_own(path: str, is_own: bool) -> None:
    text = f'{TRACE}  File "{path}", line 7, in inner\n    y()\nValueError: x'

    found = read(text)

    assert found
    assert found.frame == (Frame("job.py", "inner") if is_own else PLACE)


def test_remote_trace_is_the_place_where_it_was_raised() -> None:
    cause = "The above exception was the direct cause of the following exception:"
    remote = f'Remote: \n"""\n{TRACE}ValueError: x\n"""\n\n{cause}\n\n'

    assert read(remote + TRACE.replace("run", "main") + "ValueError: x\n") == Failure(
        "ValueError", "x", PLACE
    )


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        (RETRY, Failure("ValueError", "row 5")),
        ("Retry in 60s", Failure("Retry")),
        ("Retry at 2026-11-28 10:00: KeyError(5)", Failure("KeyError", "5")),
        ("Retry later", None),
    ],
)
def test_retry_names_its_exception(text: str, failure: Failure | None) -> None:
    assert read_retry(text) == failure


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("- odd -\n    at f (/a/b.js:1:2)", Failure("", "- odd -", Frame("b.js", "f"))),
        ("odd text\n\tat a.B.c(B.java:1)", Failure("", "odd text", Frame("B.java", "B.c"))),
        (GO, Failure("panic", "id 5")),
        (
            GROUP.replace("ValueError: row 5", "ExceptionGroup: inner"),
            Failure("KeyError", "'a'", Frame("job.py", "main"), "ExceptionGroup"),
        ),
    ],
)
def test_odd_trace_is_read_as_far_as_possible(text: str, failure: Failure) -> None:
    assert read(text) == failure


@pytest.mark.parametrize("text", [".java: x", "look at this\n  at home", "goroutine x", "a:in b"])
def test_words_of_a_trace_are_no_trace(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize("text", ["", "row 5", "look at this", TRACE, 'File "a"', "panic: x"])
def test_text_without_an_exception_is_no_trace(text: str) -> None:
    assert read(text) is None
