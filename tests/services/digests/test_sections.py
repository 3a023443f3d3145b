"""Sections: how many entries they show, and how links and times look."""

import pytest
from services.digests.reading import HOME, ago, scope_of

from taskbadger.domain.digests import Entry, Section
from taskbadger.domain.identity import ProjectRef
from taskbadger.services.digests.sections import section, shown


def entry(number: int) -> Entry:
    return Entry(str(number), "", None)


@pytest.mark.parametrize(
    ("count", "more"),
    [
        (0, ""),
        (20, ""),
        (21, "and 1 more"),
        (51, "and 31 more"),
        (999, "and 979 more"),
        (1000, "and 980 or more"),
    ],
)
def test_section_shows_twenty_entries_and_counts_the_rest(count: int, more: str) -> None:
    found = section("Failing", range(count), entry)

    assert found == Section("Failing", tuple(map(entry, range(min(count, 20)))), count, more)


def test_links_lead_to_the_pages_of_the_organization(project: ProjectRef) -> None:
    scope = scope_of(project)

    assert scope.url("alerts/deliveries/", state="dead") == f"{HOME}/alerts/deliveries/?state=dead"
    assert scope.name_url(project.id, "a/b ü") == f"{HOME}/names/web/?name=a%2Fb+%C3%BC"
    assert scope_of(project, base_url="").name_url(project.id, "job") is None


def test_times_are_those_of_the_member(project: ProjectRef) -> None:
    assert scope_of(project).moment(ago()) == "Mon 23 Nov 08:00"
    assert scope_of(project, zone="Asia/Kathmandu").moment(ago(hours=8)) == "Mon 23 Nov 05:45"


def test_text_stays_on_one_line_of_bounded_length() -> None:
    assert shown("a\r\nb\u202ec") == "a b c"
    assert shown("x" * 500) == "x" * 199 + "…"
