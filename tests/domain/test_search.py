"""The search language."""

from datetime import UTC, datetime, timedelta

import pytest

from taskbadger.domain.search import Problem, Search, Term, Value, parse, with_term

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TASK = "AZHAkAAAcACAAAAAAAAAAA"


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("  import  ", [Term("text", (Value("import"),))]),
        ('"import customers"', [Term("text", (Value("import customers"),))]),
        ("-import", [Term("text", (Value("import"),), excluded=True)]),
        ("status:error", [Term("status", (Value("error"),))]),
        ("status:Error,stale", [Term("status", (Value("error"), Value("stale")))]),
        ("status:pre-processing", [Term("status", (Value("pre_processing"),))]),
        (
            "status:running",
            [
                Term(
                    "status",
                    (Value("pre_processing"), Value("processing"), Value("post_processing")),
                )
            ],
        ),
        ("-status:failed", [Term("status", (Value("error"),), excluded=True)]),
        ("name:import*", [Term("name", (Value("import", prefix=True),))]),
        ('name:"import*"', [Term("name", (Value("import*"),))]),
        ('name:"a, b",c', [Term("name", (Value("a, b"), Value("c")))]),
        ("name:*", [Term("name", (Value("", prefix=True),))]),
        ("queue:high", [Term("queue", (Value("high"),))]),
        ("tag:env:prod", [Term("tag", (Value("prod", tag="env"),))]),
        ("tag:url:http://x", [Term("tag", (Value("http://x", tag="url"),))]),
        ('tag:city:"New York"', [Term("tag", (Value("New York", tag="city"),))]),
        ("tag:env", [Term("tag", (Value("", tag="env"),))]),
        ("tag:env:*", [Term("tag", (Value("", tag="env"),))]),
        ("tag:env:pro*", [Term("tag", (Value("pro", prefix=True, tag="env"),))]),
        ('tag:env:"pro*"', [Term("tag", (Value("pro*", tag="env"),))]),
        ("import*", [Term("text", (Value("import"),))]),
        ("-*import*", [Term("text", (Value("import"),), excluded=True)]),
        ('"import*"', [Term("text", (Value("import*"),))]),
        (TASK, [Term("id", (Value(TASK),))]),
        (f"id:{TASK}", [Term("id", (Value(TASK),))]),
        ('"say ""hi"" there"', [Term("text", (Value('say "hi" there'),))]),
        ('name:"""a"", b",c', [Term("name", (Value('"a", b'), Value("c")))]),
        ("ended:24h", [Term("ended", (Value("24h", moment=NOW - timedelta(hours=24)),))]),
        (f"parent:{TASK}", [Term("parent", (Value(TASK),))]),
        ("external:a1,b2*", [Term("external", (Value("a1"), Value("b2", prefix=True)))]),
        ("before:2h", [Term("before", (Value("2h", moment=NOW - timedelta(hours=2)),))]),
        ("after:7d", [Term("after", (Value("7d", moment=NOW - timedelta(days=7)),))]),
        (
            "after:2026-11-01",
            [Term("after", (Value("2026-11-01", moment=datetime(2026, 11, 1, tzinfo=UTC)),))],
        ),
        (
            "after:2026-11-01T02:00+02:00",
            [
                Term(
                    "after",
                    (Value("2026-11-01T02:00+02:00", moment=datetime(2026, 11, 1, tzinfo=UTC)),),
                )
            ],
        ),
        ('"http://x"', [Term("text", (Value("http://x"),))]),
    ],
)
def test_search_is_read(text: str, terms: list[Term]) -> None:
    assert parse(text, now=NOW) == Search(tuple(terms))


@pytest.mark.parametrize(
    ("text", "start", "end", "words"),
    [
        ("import staus:error", 7, 18, "There is no “staus:”."),
        ("status:broken", 0, 13, "There is no status “broken”."),
        ("x status:", 2, 9, "“status:” needs a value."),
        ("name:a before:soon", 7, 18, "“soon” is not a time."),
        ("before:9999999999d", 0, 18, "is not a time"),
        ("before:999999w", 0, 14, "is not a time"),
        ("after:0001-01-01T00:00+23:00", 0, 28, "is not a time"),
        ("tag::prod", 0, 9, "Write tag:name:value"),
        ('a "b c', 2, 6, "A quotation mark is not closed."),
        ('"b "" c', 0, 7, "A quotation mark is not closed."),
        ("a *", 2, 3, "There is nothing to look for."),
        ("id:nope", 0, 7, "“nope” is not a task id."),
        ("parent:nope", 0, 11, "“nope” is not a task id."),
        ("a -", 2, 3, "There is nothing to look for."),
        ("a\x00b", 0, 3, "Null characters are not allowed."),
        ("a" * 1001, 1000, 1001, "at most 1000 characters"),
    ],
)
def test_problem_says_where_it_is(text: str, start: int, end: int, words: str) -> None:
    [problem] = parse(text, now=NOW).problems

    assert (problem.start, problem.end) == (start, end)
    assert words in problem.message


@pytest.mark.parametrize(
    "name",
    [
        "import",
        'say "hi" there',
        '"',
        '""',
        "a, b:c*",
        "-x",
        "*",
        'ends with "',
        "tab\there",
        "ein ß",
    ],
)
def test_any_name_is_found_by_its_own_link(name: str) -> None:
    text = with_term("status:error", "name", name)

    assert parse(text, now=NOW).terms[1:] == (Term("name", (Value(name),)),)
    assert with_term(text, "name", name) == text


def test_terms_beside_a_problem_are_kept() -> None:
    search = parse("status:error colour:red name:a", now=NOW)

    assert [term.field for term in search.terms] == ["status", "name"]
    assert [(one.start, one.end) for one in search.problems] == [(13, 23)]


def test_number_of_terms_is_limited() -> None:
    search = parse(" ".join("abcdefghijklmnopqrstuvwxyz12345"), now=NOW)

    assert search.problems == (Problem(0, 61, "A search has at most 30 conditions."),)
