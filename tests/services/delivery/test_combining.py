"""At the end of a window, what it held back becomes one message per action and channel."""

import json
from typing import Any

import pytest
from alerting import make_global_action
from conftest import count_queries, make_project
from delivering import make_webhook
from holding import (
    HOUR,
    MINUTE,
    NOW,
    WEBHOOK,
    State,
    alert,
    claim,
    decide,
    deliveries,
    fail,
    make_window,
    work,
)
from simultaneous import at_once, numbered

from taskbadger.channels import Message
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.services.delivery import combining, held
from taskbadger.services.delivery.combining import COMBINED

pytestmark = pytest.mark.usefixtures("webhook")
END = NOW + HOUR
DROPPED = State("dropped", COMBINED, None)
TOLD = State("delivered", "was held by ‹deploy›", None)


def hold(project: ProjectRef, *names: str) -> None:
    """Let tasks of these names fail in a window."""
    for number, name in enumerate(names):
        fail(project, NOW + number * MINUTE, name=name)
        assert work(NOW + number * MINUTE) == []


def test_message_at_the_end_is_about_the_latest_firing_and_counts_the_others(
    project: ProjectRef,
) -> None:
    alert(project)
    make_window(project)
    hold(project, "first", "second", "third")

    assert work(END) == [("third", 2)]
    assert deliveries() == [DROPPED, DROPPED, TOLD]
    message = Message.from_json(
        db.session.query(Delivery).filter_by(state="delivered").one().message
    )
    assert message.held_back == 2


def test_each_action_and_channel_has_a_message_of_its_own(project: ProjectRef) -> None:
    make_webhook(project, "other")
    make_global_action(project, channels=[WEBHOOK, {"integration": "webhook:other", "config": {}}])
    make_window(project)
    own = [{"trigger": "error", **WEBHOOK}]
    fail(project, actions=own)
    fail(project, NOW + MINUTE, actions=own)
    work(NOW + MINUTE)

    # One for each channel of the global action, and one for each task's own action.
    assert sorted(work(END)) == [("job", 0), ("job", 0), ("job", 1), ("job", 1)]


def test_what_was_combined_before_is_counted(project: ProjectRef) -> None:
    alert(project, quiet_period=600)
    make_window(project)
    hold(project, *["job"] * 30)  # One a minute: quiet periods held back nine of each ten.
    assert work(NOW + 30 * MINUTE) == []

    assert work(END) == [("job", 29)]


def test_what_is_covered_by_another_window_is_left_out(project: ProjectRef) -> None:
    alert(project)
    make_window(project)
    hold(project, "first", "nightly", "second")
    make_window(project, END, name="night", name_pattern="nightly")

    assert work(END) == [("second", 1)]
    assert deliveries() == [DROPPED, State("waiting", "held by ‹night›", END + HOUR), TOLD]


def test_what_was_tried_before_is_sent_by_itself(project: ProjectRef) -> None:
    alert(project)
    fail(project, name="tried")
    db.session.query(Delivery).update({"attempts": 1})
    db.session.commit()
    make_window(project)
    hold(project, "first", "second")

    assert sorted(work(END)) == [("second", 1), ("tried", 0)]


def test_latest_that_another_worker_has_claimed_gets_the_others(project: ProjectRef) -> None:
    alert(project)
    make_window(project)
    hold(project, "first", "second")
    db.session.execute(db.text("UPDATE destination SET proven = true"))
    db.session.commit()
    claimed = sorted(claim(END), key=lambda one: one.id)
    assert len(claimed) == 2

    ready = [decide(one, END) for one in claimed]

    assert ready[0] is None
    assert ready[1] is not None
    assert Message.from_json(ready[1].message).held_back == 1
    assert [one.state for one in deliveries()] == ["dropped", "sending"]


def test_workers_that_decide_at_the_same_moment_send_one_message(
    app: Any, project: ProjectRef
) -> None:
    alert(project)
    make_window(project)
    hold(project, *["job"] * 8)
    db.session.execute(db.text("UPDATE destination SET proven = true"))
    db.session.commit()
    claimed = claim(END)
    ready: list[str] = []

    def worker(number: int) -> None:
        found = held.decide(claimed[number], now=END)
        if found is not None:
            ready.append(found.message)

    at_once(app, *numbered(len(claimed), worker))

    sent = [Message.from_json(text).held_back for text in ready]
    sent += [count for _, count in work(END)]
    assert sent == [7]
    assert [one.state for one in deliveries()].count("dropped") == 7


@pytest.mark.parametrize("at_once_", [1, 3, 1000])
def test_thousands_are_combined_in_parts(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch, at_once_: int
) -> None:
    alert(project)
    make_window(project)
    hold(project, *["job"] * 7)
    monkeypatch.setattr(combining, "_AT_ONCE", at_once_)

    assert work(END) == [("job", 6)]


def test_statements_do_not_grow_with_what_was_held(project: ProjectRef) -> None:
    counts = []
    for count in (3, 30):
        global_action = alert(project)
        make_window(project)
        hold(project, *["job"] * count)
        [claimed, *_] = claim(END)
        with count_queries() as statements:
            decide(claimed, END)
        counts.append(len(statements))
        db.session.query(Delivery).delete()
        db.session.commit()
        assert global_action

    assert counts[0] == counts[1]


def test_other_organizations_are_left_alone(project: ProjectRef) -> None:
    other = make_project("other")
    make_webhook(other, "ops")
    for place in (project, other):
        alert(place)
        make_window(place)
        hold(place, "first", "second")

    assert work(END) == [("second", 1), ("second", 1)]


def test_long_message_is_counted_by_its_end(project: ProjectRef) -> None:
    alert(project)
    make_window(project)
    for number in range(3):
        data = json.dumps({"text": "x" * 5000, "held_back": 7, "at": '"held_back":9,'})
        fail(project, NOW + number * MINUTE, data=data)
        work(NOW + number * MINUTE)

    assert work(END) == [("job", 2)]
