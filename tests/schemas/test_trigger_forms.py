"""The boxes and numbers of the form of alert rules, and their text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain.status import STATUSES
from taskbadger.domain.triggers import MAX_RUNTIME_EXCEEDED, parse
from taskbadger.schemas.trigger_forms import list_boxes, list_numbers, read_trigger

POINTS = (*STATUSES, MAX_RUNTIME_EXCEEDED, "20", "20%", "*/20", "*/20%", "100")


def send(shown: str, text: str | None = None, **changes: str) -> dict[str, str]:
    """Return what a browser sends of a page that showed a trigger; a None takes a box away."""
    typed = {box.field: "true" for box in list_boxes(shown) if box.ticked}
    typed |= {numbers.field: numbers.value for numbers in list_numbers(shown)}
    return typed | {"trigger_shown": shown, "trigger": shown if text is None else text} | changes


def test_boxes_say_what_happened_with_what_people_ask_for_most_first() -> None:
    found = [(box.point, box.words, box.ticked) for box in list_boxes("stale, */25%,cancelled")]

    assert found == [
        ("error", "failed", False),
        ("stale", "stale", True),
        ("max_runtime_exceeded", "ran too long", False),
        ("success", "finished", False),
        ("cancelled", "cancelled", True),
        ("pending", "pending", False),
        ("pre_processing", "pre-processing", False),
        ("processing", "processing", False),
        ("post_processing", "post-processing", False),
    ]


def test_numbers_stand_in_the_field_of_their_form() -> None:
    found = [(numbers.words, numbers.value) for numbers in list_numbers("*/25%,5%, 10%,*/7,42,x")]

    assert found == [
        ("every N percent", "25"),
        ("at N percent", "5, 10"),
        ("every N units", "7"),
        ("at the value N", "42"),
    ]


@pytest.mark.parametrize(
    ("typed", "trigger"),
    [
        ({"trigger": "error, */5%"}, "error, */5%"),
        (send("error, */5%"), "error, */5%"),
        (send("error", "stale"), "stale"),
        (send("error", "soon"), "soon"),
        (send("error", " error "), " error "),
        (send("error", **{"point stale": "true"}), "error,stale"),
        (send("error", every_percent="25"), "error,*/25%"),
        (send("error", at_percent="25 %, 50%,,75"), "error,25%,50%,75%"),
        (send("*/25%,10", every_percent="", at_value=""), ""),
        (send("error", at_value="-1"), "error,-1"),
        (send("error", "stale", **{"point success": "true"}), "stale"),
    ],
)
def test_text_counts_if_it_was_changed_and_else_boxes_and_numbers(
    typed: dict[str, str], trigger: str
) -> None:
    assert read_trigger(typed) == trigger


def test_box_that_is_no_longer_ticked_takes_its_point_away() -> None:
    typed = send("error,stale")
    del typed["point error"]

    assert read_trigger(typed) == "stale"


@given(st.lists(st.sampled_from(POINTS), min_size=1, max_size=6))
def test_sending_what_is_shown_changes_nothing(points: list[str]) -> None:
    trigger = ", ".join(points)

    assert read_trigger(send(trigger)) == trigger


@given(st.lists(st.sampled_from(POINTS), min_size=1, max_size=6, unique=True))
def test_boxes_and_numbers_say_all_that_a_trigger_does(points: list[str]) -> None:
    typed = send(",".join(points)) | {"trigger": "", "trigger_shown": ""}

    found = {point.text for point in parse(read_trigger(typed)).points}

    assert found == set(points)
