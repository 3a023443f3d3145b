"""Patterns of task names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain import patterns
from taskbadger.domain.patterns import CONTAINS, IS, MATCHES, STARTS_WITH


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("", "anything", True),
        ("^nightly-", "nightly-import", True),
        ("^nightly-", "hourly nightly-import", False),
        ("import", "nightly-import-2", True),
        ("(?i)IMPORT", "nightly-import", True),
    ],
)
def test_pattern_is_found_anywhere_in_the_name(pattern: str, name: str, expected: bool) -> None:
    assert patterns.matches(pattern, name) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", None),
        ("^a$", None),
        ("(", "Not a valid RE2 regular expression: missing ): (."),
        (r"(a)\1", r"Not a valid RE2 regular expression: invalid escape sequence: \1."),
    ],
)
def test_error_of_a_pattern_is_explained(pattern: str, expected: str | None) -> None:
    assert patterns.explain_error(pattern) == expected


@given(st.text(), st.text())
def test_pattern_of_exactly_one_name_matches_that_one_only(name: str, other: str) -> None:
    pattern = patterns.exactly(name)

    assert patterns.matches(pattern, name)
    assert patterns.matches(pattern, other) == (other == name)
    assert not patterns.matches(pattern, f"{name}x")
    assert not patterns.matches(pattern, f"x{name}")


@pytest.mark.parametrize(
    ("kind", "text", "pattern", "in_words"),
    [
        (IS, "nightly", "^nightly$", "is “nightly”"),
        (IS, "a.b (c)", r"^a\.b \(c\)$", "is “a.b (c)”"),
        (IS, "costs $", r"^costs \$$", "is “costs $”"),
        (STARTS_WITH, "nightly-", "^nightly-", "starts with “nightly-”"),
        (STARTS_WITH, "costs $", r"^costs \$", "starts with “costs $”"),
        (CONTAINS, "import", "import", "contains “import”"),
        (CONTAINS, "a|b", r"a\|b", "contains “a|b”"),
        (CONTAINS, "back\\slash", r"back\\slash", "contains “back\\slash”"),
        (MATCHES, "^(a|b)", "^(a|b)", "matches ^(a|b)"),
        (MATCHES, r"\d+$", r"\d+$", r"matches \d+$"),
        (MATCHES, "^a.b$", "^a.b$", "matches ^a.b$"),
        (MATCHES, "(", "(", "matches ("),
        (MATCHES, "$", "$", "matches $"),
        (MATCHES, "^", "^", "matches ^"),
        (MATCHES, r"import\-", r"import\-", r"matches import\-"),
    ],
)
def test_pattern_is_what_people_choose(kind: str, text: str, pattern: str, in_words: str) -> None:
    assert patterns.write(kind, text) == pattern
    assert patterns.read(pattern) == (kind, text)
    assert patterns.in_words(pattern) == in_words


@pytest.mark.parametrize("kind", patterns.KINDS)
def test_empty_text_is_every_name(kind: str) -> None:
    assert patterns.write(kind, "") == ""


@given(st.text(min_size=1), st.text())
def test_comparison_finds_what_it_says(text: str, name: str) -> None:
    found = {
        kind: patterns.matches(patterns.write(kind, text), name) for kind in patterns.KINDS[:3]
    }

    assert found == {
        IS: name == text,
        STARTS_WITH: name.startswith(text),
        CONTAINS: text in name,
    }


@given(st.sampled_from(patterns.KINDS), st.text())
def test_what_is_shown_of_a_pattern_means_the_same(kind: str, text: str) -> None:
    pattern = patterns.write(kind, text)

    assert patterns.write(*patterns.read(pattern)) == pattern
