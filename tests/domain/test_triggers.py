"""Triggers: the grammar, what a change reaches, and the words that explain it."""

import json
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain.status import STATUSES
from taskbadger.domain.triggers import (
    MAX_NUMBER,
    MAX_RUNTIME_EXCEEDED,
    Point,
    PointOutcome,
    Reason,
    Snapshot,
    Trigger,
    TriggerError,
    evaluate,
    explain,
    parse,
)

EXPECTED = (
    "expected a value (20), a percentage (20%), a multiple (*/20 or */20%), a status "
    "(pending, pre_processing, processing, post_processing, success, error, cancelled, stale) "
    "or max_runtime_exceeded."
)


def progress(value: int | None, value_max: int | None = 100) -> Snapshot:
    return Snapshot("processing", value, value_max)


def fired(text: str, before: Snapshot | None, after: Snapshot, **options: bool) -> object:
    """Return the point and the threshold that fire; None for nothing."""
    reason = evaluate(parse(text), before, after, **options)
    return (reason.point, reason.reached) if reason else None


# The grammar


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("20", [Point("20", "value", 20)]),
        ("20%", [Point("20%", "percent", 20)]),
        ("*/20", [Point("*/20", "value_multiple", 20)]),
        ("*/20%", [Point("*/20%", "percent_multiple", 20)]),
        ("error", [Point("error", "status")]),
        ("max_runtime_exceeded", [Point("max_runtime_exceeded", "max_runtime_exceeded")]),
        ("0", [Point("0", "value", 0)]),
        ("007", [Point("007", "value", 7)]),
        ("150%", [Point("150%", "percent", 150)]),
        ("9223372036854775807", [Point("9223372036854775807", "value", MAX_NUMBER)]),
        ("0" * 9000 + "5", [Point("0" * 9000 + "5", "value", 5)]),
        (
            " 95% ,\t250,error ",
            [Point("95%", "percent", 95), Point("250", "value", 250), Point("error", "status")],
        ),
        *[(status, [Point(status, "status")]) for status in STATUSES],
    ],
)
def test_trigger_is_read_point_by_point(text: str, points: list[Point]) -> None:
    assert parse(text) == Trigger(tuple(points))


@pytest.mark.parametrize("text", ["", " ", ",", "20,", ",20", "20,,40", "20, ,40"])
def test_empty_point_is_refused(text: str) -> None:
    with pytest.raises(TriggerError) as error:
        parse(text)

    assert str(error.value) == f"A point between the commas is empty: {EXPECTED}"


@pytest.mark.parametrize(
    "point",
    [
        "-1", "+1", "1.5", "1e3", "1_000", "0x10", "2 0", "20 %", "20%%", "%", "%20", "*", "*/",
        "*/%", "*/ 5", "* /5", "/5", "*5", "5/*", "*/-5", "*/*/5", "Error", "ERROR", "done",
        "٣", "²", "２０", "20\u00a0", "20\n", "20\x00", "max_runtime", "success;error",
    ],
)  # fmt: skip
def test_wrong_point_is_named(point: str) -> None:
    with pytest.raises(TriggerError) as error:
        parse(f"20,{point},error")

    assert str(error.value) == f'"{point}" is not a trigger point: {EXPECTED}'


@pytest.mark.parametrize("point", ["*/0", "*/0%", "*/000"])
def test_multiple_of_nothing_is_refused(point: str) -> None:
    with pytest.raises(TriggerError) as error:
        parse(point)

    assert str(error.value) == (
        f'"{point}" has no multiples: the number after */ must be 1 or more.'
    )


@pytest.mark.parametrize(
    "point",
    ["9223372036854775808", "9223372036854775808%", "*/9223372036854775808", "9" * 9000],
)
def test_number_above_64_bits_is_refused(point: str) -> None:
    with pytest.raises(TriggerError) as error:
        parse(point)

    assert str(error.value) == (
        f'"{point}" is out of range: numbers can be at most 9223372036854775807.'
    )


def test_trigger_is_a_value_and_is_read_once() -> None:
    assert {parse("20,error")} == {Trigger((Point("20", "value", 20), Point("error", "status")))}
    assert parse("20,error") is parse("20,error")


def test_trigger_tells_what_can_reach_it() -> None:
    trigger = parse("20,error,*/5%,stale,max_runtime_exceeded")

    assert trigger.numeric_points == (trigger.points[0], trigger.points[2])
    assert trigger.statuses == frozenset({"error", "stale"})
    assert (trigger.wants_overrun, parse("20").wants_overrun) == (True, False)


@given(st.text(alphabet="0123456789*/%, aeorst_٣\t", max_size=30))
def test_any_text_is_a_trigger_or_a_trigger_error(text: str) -> None:
    try:
        trigger = parse(text)
    except TriggerError:
        return
    assert ",".join(point.text for point in trigger.points) == ",".join(
        part.strip(" \t") for part in text.split(",")
    )


# The examples of docs/contract.md#triggers


@pytest.mark.parametrize(
    ("text", "values", "fires"),
    [
        ("20,40,80", [0, 90], [None, ("80", 80)]),
        ("*/30%", [None, 0, 10, 95], [None, ("*/30%", 0), None, ("*/30%", 90)]),
        (
            "*/30%",
            [0, 29, 30, 59, 60, 90, 100],
            [("*/30%", 0), None, ("*/30%", 30), None, ("*/30%", 60), ("*/30%", 90), None],
        ),
        ("20", [10, 20, 20, 25, 5, 30], [None, ("20", 20), None, None, None, ("20", 20)]),
        ("20", [None, 25, None, 25], [None, ("20", 20), None, ("20", 20)]),
        ("0", [None, 0, 0, 5], [None, ("0", 0), None, None]),
        ("*/10", [5, 15, 12, 19, 20], [("*/10", 0), ("*/10", 10), None, None, ("*/10", 20)]),
        ("*/10", [25, 15, 20], [("*/10", 20), None, ("*/10", 20)]),
        ("150%", [100, 149, 150], [None, None, ("150%", 150)]),
    ],
)
def test_history_of_values_fires_where_it_passes_a_point(
    text: str, values: list[int | None], fires: list[object]
) -> None:
    history: list[Snapshot | None] = [None, *map(progress, values)]

    assert [
        fired(text, before, after) for before, after in pairwise(history) if after is not None
    ] == fires


@pytest.mark.parametrize(
    ("text", "before", "after", "fires"),
    [
        ("success,error,stale", "processing", "success", "success"),
        ("success,error,stale", "processing", "error", "error"),
        ("success,error,stale", "processing", "stale", "stale"),
        ("success,error,stale", "success", "error", "error"),
        ("success,error,stale", "error", "error", None),
        ("success,error,stale", "error", "processing", None),
        ("processing", "pending", "success", None),
        ("pending", None, "pending", "pending"),
        ("error", None, "error", "error"),
        ("error", None, "pending", None),
    ],
)
def test_status_fires_when_it_changes_to_the_point(
    text: str, before: str | None, after: str, fires: str | None
) -> None:
    start = Snapshot(before) if before else None

    assert fired(text, start, Snapshot(after)) == ((fires, fires) if fires else None)


@pytest.mark.parametrize(
    ("before", "after", "fires"),
    [
        (progress(90, 200), progress(190, 200), ("95%", 95)),
        (progress(240, 300), progress(251, 300), ("250", 250)),
        (progress(240, 1000), Snapshot("error", 240, 1000), ("error", "error")),
        (progress(0, 260), progress(260, 260), ("250", 250)),
        (progress(0, 280), progress(280, 280), ("95%", 95)),
        (progress(0, 280), Snapshot("error", 280, 280), ("error", "error")),
    ],
)
def test_pinned_example_of_value_percentage_and_status(
    before: Snapshot, after: Snapshot, fires: object
) -> None:
    assert fired("95%,250,error", before, after) == fires


def test_update_that_reaches_value_and_status_fires_once_for_the_status() -> None:
    trigger = parse("success,100")

    assert evaluate(trigger, progress(10), Snapshot("success", 100)) == Reason(
        "success", "status", "success", "processing", "success"
    )


# Our choices


@pytest.mark.parametrize(
    ("text", "before", "after", "fires"),
    [
        # The way up is measured on the scale of the value_max after the change.
        ("25%,30", progress(0), progress(50), ("30", 30)),
        ("30,25%", progress(0), progress(50), ("30", 30)),
        ("30,25%", progress(0, 200), progress(60, 200), ("25%", 25)),
        # At the same place, the later one written.
        ("50,50%", progress(0), progress(50), ("50%", 50)),
        ("50%,50", progress(0), progress(50), ("50", 50)),
        ("50,*/25", progress(0), progress(50), ("*/25", 50)),
        # Two percentages inside one step of the value keep their order.
        ("34%,33%", progress(0, 2), progress(1, 2), ("34%", 34)),
        ("1,40%", progress(0, 2), progress(1, 2), ("1", 1)),
        # A change of value_max moves the percentage alone.
        ("100%,50", progress(50, 100), progress(50, 50), ("100%", 100)),
        ("50%", progress(50, 100), progress(50, 200), None),
        ("50,20%", progress(40, 100), progress(60, 400), ("50", 50)),
        ("50%,10", progress(30, 100), progress(20, 30), ("50%", 50)),
        # Without a value_max there is no percentage, and what was null is below all.
        ("0%,50%", progress(10, 0), progress(20, 0), None),
        ("25%,75%", progress(50, 0), progress(50, 100), ("25%", 25)),
        ("*/30%", progress(50, None), progress(50, 100), ("*/30%", 30)),
        ("25%", progress(50, 100), progress(50, 0), None),
        ("25%", progress(None, 100), progress(None, 50), None),
    ],
)
def test_values_and_percentages_share_one_way_up(
    text: str, before: Snapshot, after: Snapshot, fires: object
) -> None:
    assert fired(text, before, after) == fires


@pytest.mark.parametrize("text", ["max_runtime_exceeded,error", "error,max_runtime_exceeded"])
def test_exceeded_max_runtime_comes_after_the_error_it_sets(text: str) -> None:
    change = progress(10), Snapshot("error", 10)

    assert evaluate(parse(text), *change, overrun=True) == Reason(
        "max_runtime_exceeded", "max_runtime_exceeded", "max_runtime_exceeded", "processing",
        "error",
    )  # fmt: skip
    assert fired(text, *change) == ("error", "error")


def test_exceeded_max_runtime_still_reaches_the_error() -> None:
    assert fired("error", progress(10), Snapshot("error", 10), overrun=True) == ("error", "error")
    assert fired("max_runtime_exceeded", progress(10), Snapshot("error", 10)) is None


def test_arithmetic_is_exact_at_64_bits() -> None:
    below, full = progress(MAX_NUMBER - 1, MAX_NUMBER), progress(MAX_NUMBER, MAX_NUMBER)

    assert fired("100%", below, full) == ("100%", 100)
    assert fired(str(MAX_NUMBER), below, full) == (str(MAX_NUMBER), MAX_NUMBER)
    assert fired("*/9007199254740993", progress(0), full) == (
        "*/9007199254740993", 9007199254740993 * 1023
    )  # fmt: skip
    assert fired("99%", progress(None), below) == ("99%", 99)


def test_reason_is_json() -> None:
    reason = evaluate(parse("*/30%"), progress(20, 200), progress(190, 200))

    assert reason is not None
    assert json.loads(json.dumps(reason.as_dict())) == {
        "point": "*/30%",
        "kind": "percent_multiple",
        "reached": 90,
        "before": 10,
        "after": 95,
    }


# The explanation


@pytest.mark.parametrize(
    ("text", "before", "after", "expected"),
    [
        (
            "20,40,80,95,*/50",
            progress(30),
            progress(90),
            [
                ("20", False, False, "the value went from 30 to 90, but had already reached 20"),
                ("40", True, False, "the value went from 30 to 90, reaching 40, "
                 "but 80 came later in the same change"),
                ("80", True, True, "the value went from 30 to 90, reaching 80"),
                ("95", False, False, "the value is 90, below 95"),
                ("*/50", True, False, "the value went from 30 to 90, reaching 50, "
                 "but 80 came later in the same change"),
            ],
        ),
        (
            "*/50%,20%",
            progress(None),
            progress(30),
            [
                ("*/50%", True, False, "the percentage went from nothing to 30%, reaching 0%, "
                 "but 20% came later in the same change"),
                ("20%", True, True, "the percentage went from nothing to 30%, reaching 20%"),
            ],
        ),
        (
            "*/50%,*/7",
            progress(60),
            progress(62),
            [
                ("*/50%", False, False,
                 "the percentage went from 60% to 62%, not reaching a multiple of 50%"),
                ("*/7", False, False, "the value went from 60 to 62, not reaching a multiple of 7"),
            ],
        ),
        (
            "20,20%",
            progress(60),
            progress(30),
            [
                ("20", False, False, "the value fell from 60 to 30"),
                ("20%", False, False, "the percentage fell from 60% to 30%"),
            ],
        ),
        ("20", progress(20), progress(20), [("20", False, False, "the value stayed at 20")]),
        (
            "20,20%",
            progress(20),
            progress(None),
            [
                ("20", False, False, "the value is null"),
                ("20%", False, False, "the value is null"),
            ],
        ),
        (
            "20%",
            progress(20, 0),
            progress(30, 0),
            [("20%", False, False, "value_max is 0, so there is no percentage")],
        ),
        (
            "100,success,error",
            progress(10),
            Snapshot("success", 100),
            [
                ("100", True, False, "the value went from 10 to 100, reaching 100, "
                 "but success came later in the same change"),
                ("success", True, True, "the status changed from processing to success"),
                ("error", False, False, "the status is success"),
            ],
        ),
        (
            "error",
            None,
            Snapshot("error"),
            [("error", True, True, "the task was created as error")],
        ),
        (
            "error,max_runtime_exceeded",
            Snapshot("error"),
            Snapshot("error"),
            [
                ("error", False, False, "the status was error before"),
                ("max_runtime_exceeded", False, False,
                 "the server has not ended the task for exceeding max_runtime"),
            ],
        ),
        (
            "5,5",
            progress(0),
            progress(9),
            [
                ("5", True, False, "the value went from 0 to 9, reaching 5, "
                 "but 5 came later in the same change"),
                ("5", True, True, "the value went from 0 to 9, reaching 5"),
            ],
        ),
    ],
)  # fmt: skip
def test_explanation_tells_of_every_point(
    text: str, before: Snapshot | None, after: Snapshot, expected: list[tuple[object, ...]]
) -> None:
    outcomes = explain(parse(text), before, after)

    assert [(o.point, o.reached, o.fires, o.why) for o in outcomes] == expected


def test_explanation_of_an_exceeded_max_runtime() -> None:
    outcomes = explain(
        parse("error,max_runtime_exceeded"), progress(1), Snapshot("error", 1), overrun=True
    )

    assert outcomes == [
        PointOutcome(
            "error",
            "status",
            reached=True,
            fires=False,
            why="the status changed from processing to error, "
            "but max_runtime_exceeded came later in the same change",
        ),
        PointOutcome(
            "max_runtime_exceeded",
            "max_runtime_exceeded",
            reached=True,
            fires=True,
            why="the task exceeded its max_runtime",
        ),
    ]
    assert outcomes[1].as_dict() == {
        "point": "max_runtime_exceeded",
        "kind": "max_runtime_exceeded",
        "reached": True,
        "fires": True,
        "why": "the task exceeded its max_runtime",
    }


# The model

numbers = st.integers(0, 160)
points = st.one_of(
    numbers.map(str),
    numbers.map("{}%".format),
    st.integers(1, 60).map("*/{}".format),
    st.integers(1, 60).map("*/{}%".format),
    st.sampled_from([*STATUSES, MAX_RUNTIME_EXCEEDED]),
)
triggers = st.lists(points, min_size=1, max_size=6).map(",".join)
snapshots = st.builds(
    Snapshot,
    status=st.sampled_from(STATUSES),
    value=st.none() | st.integers(0, 40),
    value_max=st.sampled_from([None, 0, 1, 2, 3, 7, 20, 30, 40, 100]),
)
histories = st.lists(st.tuples(snapshots, st.booleans()), min_size=1, max_size=8)


def oracle(
    text: str, before: Snapshot | None, after: Snapshot, *, overrun: bool
) -> tuple[str, int | str] | None:
    """Return what fires, by walking every whole number between the two states."""
    reached: list[tuple[tuple[int, Fraction, int], str, int | str]] = []
    for index, point in enumerate(text.split(",")):
        if point == MAX_RUNTIME_EXCEEDED:
            if overrun:
                reached.append(((2, Fraction(0), index), point, point))
        elif point in STATUSES:
            if after.status == point and (before is None or before.status != point):
                reached.append(((1, Fraction(0), index), point, point))
        else:
            was, now = _naive_axis(point, before), _naive_axis(point, after)
            if now is None:
                continue
            number = int(point.removeprefix("*/").removesuffix("%"))
            for step in range(-1 if was is None else was, now):
                here = step + 1
                if (here % number == 0) if point.startswith("*/") else (here == number):
                    scale = Fraction(after.value_max or 0, 100) if point.endswith("%") else 1
                    reached.append(((0, Fraction(here) * scale, index), point, here))
    return max(reached)[1:] if reached else None


def _naive_axis(point: str, snapshot: Snapshot | None) -> int | None:
    if snapshot is None or snapshot.value is None:
        return None
    if not point.endswith("%"):
        return snapshot.value
    if not snapshot.value_max:
        return None
    return int(Fraction(100 * snapshot.value, snapshot.value_max))


@given(triggers, histories)
def test_evaluation_agrees_with_a_naive_walk_through_every_value(
    text: str, history: list[tuple[Snapshot, bool]]
) -> None:
    trigger = parse(text)
    before: Snapshot | None = None

    for after, overrun in history:
        expected = oracle(text, before, after, overrun=overrun)
        assert fired(text, before, after, overrun=overrun) == expected
        outcomes = explain(trigger, before, after, overrun=overrun)
        assert [o.point for o in outcomes] == text.split(",")
        assert [o.point for o in outcomes if o.fires] == ([expected[0]] if expected else [])
        assert any(o.reached for o in outcomes) == (expected is not None)
        before = after


@given(triggers, snapshots)
def test_update_that_changes_nothing_fires_nothing(text: str, state: Snapshot) -> None:
    assert evaluate(parse(text), state, state) is None
