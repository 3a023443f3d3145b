"""The search language."""

from datetime import UTC, datetime, timedelta

import pytest

from taskbadger.domain.search import Problem, Search, Term, Value, parse
from taskbadger.domain.search_text import with_term

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
        ('tag:env:"*"', [Term("tag", (Value("*", tag="env"),))]),
        ('tag:env:"a:b"*', [Term("tag", (Value("a:b", prefix=True, tag="env"),))]),
        ('tag:"a:b":c', [Term("tag", (Value("c", tag="a:b"),))]),
        ('tag:"a:b":*', [Term("tag", (Value("", tag="a:b"),))]),
        ('tag:"a:b":c:d', [Term("tag", (Value("c:d", tag="a:b"),))]),
        ('tag:"say ""a:b""":c', [Term("tag", (Value("c", tag='say "a:b"'),))]),
        ('tag:"env:prod"', [Term("tag", (Value("prod", tag="env"),))]),
        ('tag:"env:"prod*', [Term("tag", (Value("prod", prefix=True, tag="env"),))]),
        ("tag:env*", [Term("tag", (Value("", tag="env*"),))]),
        ("import*", [Term("text", (Value("import"),))]),
        ("-*import*", [Term("text", (Value("import"),), excluded=True)]),
        ('"import*"', [Term("text", (Value("import*"),))]),
        (TASK, [Term("id", (Value(TASK),))]),
        (f"id:{TASK}", [Term("id", (Value(TASK),))]),
        ('"say ""hi"" there"', [Term("text", (Value('say "hi" there'),))]),
        ('name:"""a"", b",c', [Term("name", (Value('"a", b'), Value("c")))]),
        ("ended:24h", [Term("ended", (Value("24h", moment=NOW - timedelta(hours=24)),))]),
        ("incident:7,12", [Term("incident", (Value("7"), Value("12")))]),
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
        ("import staus:error", 7, 18, "Unknown field “staus:”."),
        ("status:broken", 0, 13, "Unknown status “broken”."),
        ("x status:", 2, 9, "“status:” needs a value."),
        ("name:a before:soon", 7, 18, "“soon” is not a valid time."),
        ("before:9999999999d", 0, 18, "is not a valid time"),
        ("before:999999w", 0, 14, "is not a valid time"),
        ("after:0001-01-01T00:00+23:00", 0, 28, "is not a valid time"),
        ("tag::prod", 0, 9, "Use tag:name:value"),
        ('a "b c', 2, 6, "A closing quotation mark is missing."),
        ('"b "" c', 0, 7, "A closing quotation mark is missing."),
        ("a *", 2, 3, "There is nothing to search for."),
        ("id:nope", 0, 7, "“nope” is not a valid task ID."),
        ("incident:x", 0, 10, "“x” is not a valid incident ID."),
        ("incident:0", 0, 10, "“0” is not a valid incident ID."),
        ("incident:9223372036854775808", 0, 28, "is not a valid incident ID."),
        ("parent:nope", 0, 11, "“nope” is not a valid task ID."),
        ("a -", 2, 3, "There is nothing to search for."),
        ("a\x00b", 0, 3, "Null characters are not allowed."),
        ("a" * 1001, 1000, 1001, "at most 1000 characters"),
    ],
)
def test_problem_says_where_it_is(text: str, start: int, end: int, words: str) -> None:
    [problem] = parse(text, now=NOW).problems

    assert (problem.start, problem.end) == (start, end)
    assert words in problem.message


NAMES = [
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
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_found_by_its_own_link(name: str) -> None:
    text = with_term("status:error", "name", name)

    assert parse(text, now=NOW).terms[1:] == (Term("name", (Value(name),)),)
    assert with_term(text, "name", name) == text


SIGNS = [*NAMES, "a:b", ":", "a:", ":a", "a,b", "\\", "a\\:b", "**", 'a":"b', "a*", "status:error"]


@pytest.mark.parametrize("value", SIGNS)
@pytest.mark.parametrize("name", SIGNS)
def test_any_tag_is_found_by_its_own_link(name: str, value: str) -> None:
    text = with_term("status:error", "tag", name, value)

    assert parse(text, now=NOW).terms[1:] == (Term("tag", (Value(value, tag=name),)),)
    assert with_term(text, "tag", name, value) == text


def test_terms_beside_a_problem_are_kept() -> None:
    search = parse("status:error colour:red name:a", now=NOW)

    assert [term.field for term in search.terms] == ["status", "name"]
    assert [(one.start, one.end) for one in search.problems] == [(13, 23)]


def test_number_of_terms_is_limited() -> None:
    search = parse(" ".join("abcdefghijklmnopqrstuvwxyz12345"), now=NOW)

    assert search.problems == (Problem(0, 61, "A search can have at most 30 conditions."),)


def test_equal_terms_and_values_count_once() -> None:
    assert parse("a " * 31, now=NOW) == Search((Term("text", (Value("a"),)),))
    assert parse(f"name:{'b,' * 51}", now=NOW).problems == ()
    assert parse("name:b " * 31 + "-name:b", now=NOW).problems == ()


def numbers(start: int, stop: int) -> str:
    return ",".join(map(str, range(start, stop)))


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (f"name:{numbers(0, 50)}", []),
        (f"name:{numbers(0, 51)}", ["A search can have at most 50 values of “name:”."]),
        (
            f"name:{numbers(0, 30)} queue:x name:{numbers(30, 51)}",
            ["A search can have at most 50 values of “name:”."],
        ),
        (f"name:{numbers(0, 50)} queue:{numbers(0, 50)}", []),
        (
            f"name:{numbers(0, 50)} queue:{numbers(0, 50)} x",
            ["A search can have at most 100 values."],
        ),
    ],
)
def test_number_of_values_is_limited(text: str, problems: list[str]) -> None:
    found = parse(text, now=NOW).problems

    assert list(found) == [Problem(0, len(text), problem) for problem in problems]


def test_attempts_have_one_value() -> None:
    [term] = parse("attempts:last", now=NOW).terms
    assert (term.field, [value.text for value in term.values]) == ("attempts", ["last"])
    [problem] = parse("attempts:first", now=NOW).problems
    assert problem.message == "“first” is not “last”, the only value of “attempts:”."


@pytest.mark.parametrize(
    ("text", "is_too_much"),
    [
        ("data.a:1 -data.b:2 data.c.d:*", False),
        ("data.a:1 -data.b:2 data.c.d:* -data.e:5", True),
        ("data.a:1,2 -data.a:2", False),
        ("data.a:1,2 -data.a:2,1", True),
        ("data.a:1,2,3,1,2,3", False),
        ("data.a:1,2,3,4", True),
        ("data.a:1 " * 4, False),
        (f"data.a:{numbers(0, 51)}", True),
    ],
)
def test_search_looks_for_three_values_in_data_at_most(text: str, is_too_much: bool) -> None:
    problem = "A search can look for at most 3 values in data."

    expected = (Problem(0, len(text), problem),) if is_too_much else ()
    assert parse(text, now=NOW).problems == expected
