"""The kinds of failures, on a corpus of real ones and on bad input.

``tests/data/failures.py`` makes the corpus.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import example, given, settings
from hypothesis import strategies as st
from traces import FOREIGN, GO, GROUP, HANDLING, JAVA, NODE, RETRY, RUBY, SYNTAX, TRACE

from taskbadger.domain.fingerprints import (
    FIELDS,
    MAX_TEXT,
    MAX_TITLE,
    FailureKind,
    error_text,
    failure_kind,
    headline,
)

CORPUS = [
    json.loads(line) for line in (ROOT / "tests/data/failures.jsonl").read_text().splitlines()
]


TRACE_OF_ONE = """\
Traceback (most recent call last):
  File "/app/run.py", line 3, in load
    raise ValueError("no row 17")
ValueError: no row 17"""


def kind_of(cause: str = "error", **data: Any) -> FailureKind:
    return failure_kind(json.dumps(data), cause)


def pairs(groups: Iterable[Any]) -> int:
    """Return the number of pairs of equal members."""
    return sum(count * (count - 1) // 2 for count in Counter(groups).values())


def test_kinds_agree_with_the_labels_of_the_corpus() -> None:
    labels = [line["label"] for line in CORPUS]
    prints = [failure_kind(json.dumps(line["data"])).fingerprint for line in CORPUS]
    agreed = pairs(zip(labels, prints, strict=True))

    assert len(CORPUS) >= 300
    assert min(Counter(labels).values()) >= 6
    assert len(set(labels)) >= 40
    assert agreed / pairs(labels) >= 0.95
    assert agreed / pairs(prints) >= 0.95


def test_every_failure_of_the_corpus_has_a_title() -> None:
    titles = {failure_kind(json.dumps(line["data"])).title for line in CORPUS}

    assert "error without details" not in titles
    assert max(map(len, titles)) <= MAX_TITLE


@pytest.mark.parametrize(
    ("data", "title"),
    [
        ({"exception": "a", "error": "b"}, "a"),
        ({"exception": " ", "traceback": None, "error": False, "message": "c"}, "c"),
        ({"message": "\n\nfirst\nsecond"}, "first"),
        ({"stderr": "warning\nmake: *** [all] Error 1\n", "return_code": 2}, "warning"),
        ({"stderr": "sort: bad option\nTry 'sort --help' for more.\n"}, "sort: bad option"),
        ({"stderr": "psql: error: refused\n\tIs the server running?\n"}, "psql: error: refused"),
        ({"stderr": "bash: line 1: shop: command not found"}, "shop: command not found"),
        ({"stderr": "", "return_code": 2}, "exit code 2"),
        ({"return_code": "-9"}, "killed by signal 9"),
        ({"return_code": 0}, "error without details"),
        ({"error": 404}, "error code 404"),
        ({"error": {"type": "Boom", "message": "row 5"}}, "Boom: row ‹number›"),
        ({"error": {"name": "Error", "stack": NODE}}, "TypeError: a ‹number›"),
        ({"exception": ["first", "second"]}, "first"),
        ({"exception": "row 5", "traceback": TRACE + "Boom: row 5"}, "Boom: row ‹number›"),
        ({"stderr": "/srv/run.sh: line 3: shop: command not found"}, "shop: command not found"),
        ({"other": "a"}, "error without details"),
    ],
)
def test_first_field_that_says_something_wins(data: dict[str, Any], title: str) -> None:
    assert kind_of(**data).title == title


@pytest.mark.parametrize(
    ("cause", "data", "title"),
    [
        ("error", None, "error without details"),
        ("error", '"row 5 is bad"', "row ‹number› is bad"),
        ("error", '{"exception": "row 5', "row ‹number›"),
        ("stale", None, "stale"),
        ("stale", '{"message": "50 of 100", "stderr": "a"}', "stale"),
        ("stale", '{"exception": "row 5"}', "stale: row ‹number›"),
        ("max_runtime_exceeded", "[1]", "max runtime exceeded"),
    ],
)
def test_cause_is_the_kind_without_details(cause: str, data: str | None, title: str) -> None:
    assert failure_kind(data, cause).title == title


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("refused for url: /v1?api_key=sk-live", "refused for url: ‹path›"),
        ("login failed, password: swordfish", "login failed, password: ••••••"),
        (TRACE + "password: swordfish", "password: ••••••"),
        ("sent Authorization: Bearer abcdef", "sent Authorization: Bearer ••••••"),
        ("cannot reach postgres://u:p(w@h", "cannot reach ‹url›"),
    ],
)
def test_kind_shows_no_secrets_and_does_not_depend_on_them(text: str, title: str) -> None:
    kind = kind_of(exception=text)

    assert kind.title == title
    assert kind_of(exception=text.replace("abcdef", "ghi").replace("swordfish", "tuna")) == kind


def test_kind_depends_on_the_place_and_not_on_what_varies() -> None:
    first = kind_of(exception=TRACE + "ValueError: row 5")

    assert kind_of(exception=TRACE.replace("line 3", "line 4") + "ValueError: row 67") == first
    assert kind_of(exception=TRACE.replace("run", "end") + "ValueError: row 5") != first
    assert kind_of("stale", exception=TRACE + "ValueError: row 5") != first


def test_trace_beside_another_message_gives_the_place() -> None:
    found = kind_of(exception="import failed", stack=TRACE + "Boom: row 5")

    assert (found.title, found.frame) == ("import failed", ("job.py", "run"))
    assert kind_of(exception="import failed", stack="Boom").frame is None


def test_cut_json_gives_its_first_fields() -> None:
    data = '{"exception": "row 5", "tags": {"exception": "b"}, "error": "\\u12'

    assert failure_kind(data).title == "row ‹number›"


@pytest.mark.parametrize(
    ("data", "fingerprint"),
    [
        (None, "2059d323ba606c41ed89a2f7aa531ca0"),
        ('{"return_code": 1}', "4df7f32e0ee98ce818def9c8aac22aa9"),
        (
            json.dumps({"exception": TRACE + "ValueError: row 5"}),
            "ac2caade3aa3b4c051d8c6501db81fa6",
        ),
        (json.dumps({"stderr": NODE}), "f8807db14d08c8b80c5401bba9db4fd9"),
    ],
)
def test_fingerprints_stay_the_same(data: str | None, fingerprint: str) -> None:
    assert failure_kind(data).fingerprint == fingerprint


def test_both_ends_of_a_long_text_count() -> None:
    long = FOREIGN * 20_000

    kind = kind_of(exception=TRACE + long + "ValueError: row 5")

    assert kind.title == "ValueError: row ‹number›"
    assert kind_of(stdout="a" * 1_000_000, stderr="row 5").title == "row ‹number›"


PARTS = [
    TRACE,
    FOREIGN,
    HANDLING,
    RETRY,
    SYNTAX,
    NODE,
    JAVA,
    GO,
    RUBY,
    GROUP,
    "\ud800",
    "\0",
    '"\\',
    "\n",
]
TEXTS = st.lists(st.sampled_from(PARTS) | st.text(), max_size=8).map("".join)
VALUES = st.recursive(
    TEXTS | st.integers() | st.floats() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)


def check(data: str, cause: str) -> None:
    kind = failure_kind(data, cause)

    assert len(kind.fingerprint) == 32
    assert 0 < len(kind.title) <= MAX_TITLE
    assert kind.title.isprintable()


@settings(deadline=None)
@example(value={"stderr": [" "]}, cut=0, late=False)
@given(
    value=st.dictionaries(st.sampled_from(FIELDS), VALUES) | VALUES,
    cut=st.integers(0),
    late=st.booleans(),
)
def test_any_json_has_a_kind(value: Any, cut: int, late: bool) -> None:
    data = json.dumps(value)

    check(data, "stale" if late else "error")
    check(data[: cut % (len(data) + 1)], "error")


@settings(deadline=None)
@given(st.sampled_from(FIELDS), TEXTS, st.integers(1, 200_000))
def test_long_texts_have_a_kind(field: str, text: str, times: int) -> None:
    check(json.dumps({field: text * (times // (len(text) + 1) + 1)}), "error")


REPEATED = [
    *PARTS,
    "'[",
    "a@",
    "::",
    "1 ",
    "/a",
    "\\'",
    " (A",
    "at (",
    'File "',
    "| ",
    "panic: ",
    "ab1",
]


def seconds(text: str) -> float:
    data = json.dumps({"stderr": text}, ensure_ascii=False)
    took = []
    for _ in range(5):
        failure_kind(None)  # The last text is remembered.
        began = time.perf_counter()
        failure_kind(data)
        took.append(time.perf_counter() - began)
    return min(took)


@pytest.mark.parametrize("start", ["", TRACE, NODE, JAVA, GO, RUBY, "  + Exception Group " + TRACE])
def test_time_is_linear(start: str) -> None:
    for part in REPEATED:
        few, many = (start + part * (size // len(part)) for size in (12_500, 50_000))
        # Four times the text. Quadratic time would be 16 times as long.
        assert seconds(many) < 8 * seconds(few) + 0.004, part


def test_text_beyond_the_limit_costs_no_more() -> None:
    text = (TRACE + FOREIGN * 2000 + "ValueError: 5\n")[:MAX_TEXT]

    assert seconds(text * 50) < 5 * seconds(text) + 0.005


def test_last_data_is_read_once_for_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def loads(text: str, **options: Any) -> Any:
        read.append(text)
        return json.JSONDecoder(**options).decode(text)

    first, second = (json.dumps({"error": f"ValueError: row {n}"}) for n in (1, 2))
    with monkeypatch.context() as patched:
        patched.setattr(json, "loads", loads)
        found = [
            (failure_kind(data).title, headline(data), error_text(data, "stale"))
            for data in (first, second, first)
        ]

    assert found == [
        ("ValueError: row ‹number›", f"ValueError: row {n}", (f"ValueError: row {n}", ""))
        for n in (1, 2, 1)
    ]
    # Another cause looks at other fields.
    assert read == [first, first, second, second, first, first]


# The text for people


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"exception": "ValueError: no row 17"}, ("ValueError: no row 17", "")),
        ({"error": "first line\nsecond"}, ("first line", "first line\nsecond")),
        (
            {"error": "no row 17", "stack": f"{TRACE_OF_ONE}\n"},
            ("no row 17", TRACE_OF_ONE),
        ),
        ({"exception": TRACE_OF_ONE}, ("ValueError: no row 17", TRACE_OF_ONE)),
        ({"return_code": 3}, ("exit code 3", "")),
        ({"error": "postgres://u:pw@db/x"}, ("postgres://u:••••••@db/x", "")),
        ({"error": "a\ud800b\0c"}, ("a?b�c", "")),
        ({"rows": 5}, None),
        ({}, None),
    ],
)
def test_text_for_people_is_as_it_was_sent(
    fields: dict[str, object], expected: tuple[str, str] | None
) -> None:
    assert error_text(json.dumps(fields)) == expected


def test_task_that_is_late_has_no_text_in_its_message() -> None:
    assert error_text(json.dumps({"message": "half done"}), "stale") is None
    assert error_text(json.dumps({"error": "x"}), "stale") == ("x", "")


def test_long_text_is_cut_and_never_fails() -> None:
    found = error_text(json.dumps({"exception": "x" * 1_000_000}))

    assert found is not None
    assert (len(found.headline), len(found.text) <= MAX_TEXT) == (500, True)
    for data in (None, "", "[", '"x', "[" * 100_000, '{"error": {"message": ["a"]}}'):
        error_text(data)
