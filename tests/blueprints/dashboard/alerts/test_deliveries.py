"""The pages of deliveries: the list, one with its tries, and replay."""

import html
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from blueprints.dashboard.doing import assert_same_queries
from blueprints.dashboard.forms_read import ESCAPED, HOSTILE, trail, words
from conftest import count_queries, make_project
from flask import Flask
from people import WebClient, browser_for, make_member
from sqlalchemy import select
from watching import Watch

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, DeliveryAttempt, Destination, Firing
from taskbadger.process import current_process
from taskbadger.services.alerts import global_actions
from taskbadger.services.delivery import channels
from taskbadger.services.tasks import write

DELIVERIES = "/a/acme/alerts/deliveries/"
MAIL = {"integration": "email", "config": {"to": "ops@example.com"}}


def fail(project: ProjectRef, name: str = "import") -> str:
    """Queue a mail about a failed task; return the delivery's id."""
    action = {"trigger": "error", **MAIL}
    write.create_task(
        project,
        {"name": name, "status": "error", "actions": [action]},
        now=utcnow(),
        actor=Actor("key", "ci"),
    )
    db.session.commit()
    newest = db.session.scalars(select(Delivery.id).order_by(Delivery.id.desc()).limit(1)).one()
    db.session.rollback()
    return newest


def give_up(delivery_id: str, error: str = "The receiver answered 500.") -> None:
    """Let a delivery be dead, after one try."""
    found = db.session.get(Delivery, delivery_id)
    assert found is not None
    found.state, found.finished, found.next_attempt_at = "dead", utcnow(), None
    found.attempts, found.error_class, found.error = 1, "http_status", error
    db.session.add(
        DeliveryAttempt(
            delivery_id=delivery_id,
            number=1,
            started=utcnow(),
            duration_ms=1234,
            status=500,
            error_class="http_status",
            error=error,
        )
    )
    db.session.commit()


def states() -> list[str]:
    db.session.rollback()
    db.session.expire_all()
    return list(db.session.scalars(select(Delivery.state).order_by(Delivery.id)))


def listed(page: str) -> list[str]:
    return re.findall(rf'data-row-link\s+href="{DELIVERIES}([^"/]*)/"', page)


def test_deliveries_are_listed_newest_first_with_what_went_wrong(
    web: WebClient, project: ProjectRef
) -> None:
    first = fail(project)
    give_up(first)
    second = fail(project)
    fail(make_project("other", "web"))

    page = web.get(DELIVERIES).text

    assert listed(page) == [second, first]
    text = words(page)
    assert "The receiver answered 500." in text
    assert "1 alert could not be delivered." in text
    assert page.count(">import: error</a>") == 2


def test_list_is_narrowed_by_state_channel_and_time(web: WebClient, project: ProjectRef) -> None:
    dead = fail(project)
    give_up(dead)
    waiting = fail(project)
    old = fail(project)
    found = db.session.get(Delivery, old)
    assert found is not None
    found.created = utcnow() - timedelta(days=2)
    db.session.commit()

    def ask(query: str) -> list[str]:
        return listed(web.get(DELIVERIES + query).text)

    assert ask("?state=dead") == [dead]
    assert ask("?state=waiting&hours=24") == [waiting]
    assert ask("?channel=email&hours=168") == [old, waiting, dead]
    assert ask("?channel=webhook:ops") == []
    assert ask("?state=nope&hours=x") == [old, waiting, dead]
    assert "No matching deliveries" in web.get(DELIVERIES + "?channel=webhook:ops").text


def test_empty_list_says_what_appears_there(web: WebClient, project: ProjectRef) -> None:
    assert "Nothing sent yet" in web.get(DELIVERIES).text


def test_list_has_pages_that_keep_the_filters(web: WebClient, project: ProjectRef) -> None:
    for _ in range(52):
        fail(project)

    first = web.get(DELIVERIES + "?state=waiting").text
    older = html.unescape(re.findall(r'rel="next" href="([^"]*)"', first)[0])
    second = web.get(older).text

    assert (len(listed(first)), len(listed(second))) == (50, 2)
    assert "state=waiting" in older
    assert web.get(DELIVERIES + "?cursor=bnxub3Bl").status_code == 404


def test_list_takes_as_many_queries_for_50_as_for_one(web: WebClient, project: ProjectRef) -> None:
    assert_same_queries(web, DELIVERIES, lambda _number: fail(project), max_queries=9)


def test_delivery_shows_its_tries_and_why(web: WebClient, project: ProjectRef) -> None:
    global_actions.create_global_action(
        project.organization_id,
        {"name": "all", "trigger": "*/50%", "channels": [MAIL]},
        actor=SERVER,
        now=utcnow(),
    )
    task = write.create_task(
        project, {"name": "import", "value": 60}, now=utcnow(), actor=Actor("key", "ci")
    )
    db.session.commit()
    delivery_id = db.session.scalars(select(Delivery.id)).one()
    give_up(delivery_id)

    page = web.get(f"{DELIVERIES}{delivery_id}/").text

    text = words(page)
    assert f'href="/a/acme/tasks/{task.id}/">import</a>' in page
    assert "the alert rule all on */50%" in text
    assert re.search(r'href="/a/acme/alerts/\d+/">all</a>', page)
    assert "Task: import Status: pending" in text
    assert "*/50% – → 60" in text
    assert "ops@example.com" in text
    assert "1.2 s" in text
    assert "The receiver answered 500." in text
    assert ">Retry</button>" in page


def test_delivery_of_a_monitor_leads_to_it(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project)
    watch.run("12:00", "error")
    delivery_id = db.session.scalars(select(Delivery.id)).one()

    page = web.get(f"{DELIVERIES}{delivery_id}/").text

    assert f'href="/a/acme/monitors/{watch.monitor.id}/">nightly</a>' in page
    assert "nightly is failing (1 failed or missed run since" in words(web.get(DELIVERIES).text)


def test_one_delivery_is_tried_again(web: WebClient, project: ProjectRef) -> None:
    dead, other = fail(project), fail(project)
    give_up(dead)
    give_up(other)
    path = f"{DELIVERIES}{dead}/"

    answer = web.post(path + "replay")
    again = web.post(path + "replay")

    assert (answer.status_code, answer.location, again.status_code) == (303, path, 303)
    assert states() == ["waiting", "dead"]
    assert "Only a dead or dismissed delivery can be replayed" in web.get(path).text
    assert trail() == [("ada@example.org", "delivery.replay", dead, "")]


def test_all_of_a_channel_are_tried_again(web: WebClient, project: ProjectRef) -> None:
    for _ in range(2):
        give_up(fail(project))
    foreign = fail(make_project("other", "web"))
    give_up(foreign)

    assert "Retry all undelivered" in web.get(DELIVERIES + "?channel=email").text
    answer = web.post(f"{DELIVERIES}replay", {"channel": "email"})
    none = web.post(f"{DELIVERIES}replay", {"channel": "webhook:nope"})

    assert (answer.location, none.status_code) == (f"{DELIVERIES}?channel=email", 303)
    assert states() == ["waiting", "waiting", "dead"]
    assert trail() == [("ada@example.org", "delivery.replay-all", "email", "2 deliveries")]


def test_try_all_again_is_offered_where_something_was_given_up(
    web: WebClient, project: ProjectRef
) -> None:
    fail(project)

    assert "all undelivered" not in web.get(DELIVERIES + "?channel=email").text


def fail_once(delivery_id: str, again: datetime) -> None:
    """Let a delivery wait for another try, after one that failed."""
    found = db.session.get(Delivery, delivery_id)
    assert found is not None
    found.attempts, found.next_attempt_at, found.error = 1, again, "The receiver answered 503."
    db.session.commit()


def hold(delivery_id: str, until: datetime) -> None:
    """Leave the receiver of a delivery alone for a while."""
    found = db.session.get(Delivery, delivery_id)
    assert found is not None
    key = found.destination
    db.session.add(Destination(key=key, failures=3, hold_until=until, seen=utcnow()))
    db.session.commit()


def test_delivery_that_waits_for_another_try_is_tried_now(
    web: WebClient, project: ProjectRef
) -> None:
    soon, later = fail(project), utcnow() + timedelta(hours=1)
    fail_once(soon, later)
    hold(soon, later)
    untried = fail(project)
    path = f"{DELIVERIES}{soon}/"

    shown = words(web.get(path).text)
    web.post(path + "replay")
    refused = web.post(f"{DELIVERIES}{untried}/replay")
    text = words(web.get(refused.location).text)

    db.session.expire_all()
    found = db.session.get(Delivery, soon)
    assert found is not None
    assert found.next_attempt_at <= utcnow()
    assert (found.state, found.attempts) == ("waiting", 1)
    assert db.session.scalars(select(Destination.hold_until)).one() is None
    assert ("Retry now" in shown, "paused while the receiver is failing" in shown) == (True, True)
    assert "Only a dead or dismissed delivery can be replayed" in text
    assert trail() == [("ada@example.org", "delivery.hurry", soon, "")]


def test_list_tells_what_is_retried_and_what_is_held_back(
    web: WebClient, project: ProjectRef
) -> None:
    retried, untried = fail(project), fail(project)
    fail_once(retried, utcnow() + timedelta(minutes=1))

    before = words(web.get(DELIVERIES).text)
    hold(retried, utcnow() + timedelta(hours=1))
    held = words(web.get(DELIVERIES).text)

    assert "retrying next attempt in" in before
    assert held.count("paused while the receiver is failing, next attempt in") == 2
    assert listed(web.get(DELIVERIES + "?state=retrying").text) == [retried]
    assert listed(web.get(DELIVERIES + "?state=waiting").text) == [untried, retried]


def test_delivery_that_was_given_up_is_dismissed_and_stays(
    web: WebClient, project: ProjectRef
) -> None:
    dead = fail(project)
    give_up(dead)
    path = f"{DELIVERIES}{dead}/"

    web.post(path + "dismiss")
    again = web.post(path + "dismiss")
    page = web.get(path).text

    assert (states(), again.status_code) == (["dismissed"], 303)
    assert "could not be delivered" not in page
    assert "Only a dead delivery can be dismissed." in page
    assert listed(web.get(DELIVERIES).text) == [dead]
    assert trail() == [("ada@example.org", "delivery.dismiss", dead, "")]
    web.post(path + "replay")
    assert states() == ["waiting"]


def test_all_that_was_given_up_is_dismissed_of_a_channel_or_everywhere(
    web: WebClient, project: ProjectRef
) -> None:
    for number in range(3):
        delivery_id = fail(project)
        give_up(delivery_id)
        if number == 0:
            db.session.get_one(Delivery, delivery_id).integration = "webhook:ops"
            db.session.commit()
    foreign = fail(make_project("other", "web"))
    give_up(foreign)

    assert "Dismiss all undelivered" in web.get(DELIVERIES + "?state=dead").text
    web.post(f"{DELIVERIES}dismiss", {"channel": "email"})
    one_left = states()
    web.post(f"{DELIVERIES}dismiss")

    assert one_left == ["dead", "dismissed", "dismissed", "dead"]
    assert states() == ["dismissed", "dismissed", "dismissed", "dead"]
    assert [entry[1:] for entry in trail()] == [
        ("delivery.dismiss-all", "email", "2 deliveries"),
        ("delivery.dismiss-all", "all channels", "1 delivery"),
    ]


def test_failed_test_counts_as_no_message_that_nobody_got(
    web: WebClient, project: ProjectRef
) -> None:
    dead = fail(project)
    give_up(dead)
    db.session.get_one(Delivery, dead).kind = "test"
    db.session.commit()

    pages = [web.get(path).text for path in (DELIVERIES, f"{DELIVERIES}{dead}/")]
    web.post(f"{DELIVERIES}replay", {"channel": "email"})
    web.post(f"{DELIVERIES}retry-selected", {"delivery": [dead]})
    web.post(f"{DELIVERIES}dismiss-selected", {"delivery": [dead]})

    for page in pages:
        assert "test failed" in words(page)
        assert "could not be delivered" not in page
        assert 'name="delivery"' not in page
    assert ">Dismiss<" not in pages[1]
    assert states() == ["dead"]
    assert listed(web.get(f"{DELIVERIES}?state=dead").text) == []
    assert listed(web.get(f"{DELIVERIES}?state=failed-test").text) == [dead]


def test_selected_deliveries_are_retried_together(web: WebClient, project: ProjectRef) -> None:
    dead, retrying, untried, other = (fail(project) for _ in range(4))
    give_up(dead)
    fail_once(retrying, utcnow() + timedelta(hours=1))
    hold(retrying, utcnow() + timedelta(hours=1))
    give_up(other)
    foreign = fail(make_project("globex"))
    give_up(foreign)

    page = web.get(DELIVERIES).text
    form = {"delivery": [dead, retrying, untried, foreign, "nonsense"], "channel": "email"}
    answer = web.post(f"{DELIVERIES}retry-selected", form)

    assert re.findall(r'name="delivery" value="([^"]*)"', page) == [other, retrying, dead]
    assert answer.location == f"{DELIVERIES}?channel=email"
    assert "2 deliveries queued for another attempt." in web.get(answer.location).text
    assert states() == ["waiting", "waiting", "waiting", "dead", "dead"]
    assert db.session.get_one(Delivery, retrying).next_attempt_at <= utcnow()
    assert db.session.scalars(select(Destination.hold_until)).one() is None
    detail = f"{dead}, {retrying}"
    assert trail() == [("ada@example.org", "delivery.replay", "2 deliveries", detail)]


def test_selected_deliveries_are_dismissed_together(web: WebClient, project: ProjectRef) -> None:
    dead, other, waiting = fail(project), fail(project), fail(project)
    give_up(dead)
    give_up(other)

    web.post(f"{DELIVERIES}dismiss-selected", {"delivery": [dead, waiting]})
    nothing = web.post(f"{DELIVERIES}dismiss-selected", {"delivery": [waiting]})

    assert states() == ["dismissed", "dead", "waiting"]
    assert "No delivery dismissed." in web.get(nothing.location).text
    assert trail() == [("ada@example.org", "delivery.dismiss", "1 delivery", dead)]


def test_selected_deliveries_that_would_be_given_up_at_once_stay(
    web: WebClient, project: ProjectRef
) -> None:
    dead = fail(project)
    give_up(dead)
    db.session.get_one(Delivery, dead).integration = "webhook:gone"
    db.session.commit()

    answer = web.post(f"{DELIVERIES}retry-selected", {"delivery": [dead]})

    assert states() == ["dead"]
    assert "No delivery queued for another attempt." in web.get(answer.location).text


def test_all_undelivered_of_one_cause_are_retried_or_dismissed(
    web: WebClient, project: ProjectRef
) -> None:
    refused, silent, also = fail(project), fail(project), fail(project)
    give_up(refused, "Line one,\nline two.")
    give_up(silent, "No answer.")
    give_up(also, "No answer.")

    page = web.get(f"{DELIVERIES}{refused}/").text
    cause = html.unescape(re.findall(r'href="([^"]*)">All of this cause', page)[0])
    narrowed = web.get(cause).text
    form = {"channel": "email", "state": "dead", "error": "Line one,\r\nline two."}
    answer = web.post(f"{DELIVERIES}replay", form)
    web.post(f"{DELIVERIES}dismiss", form | {"error": "No answer."})

    assert listed(narrowed) == [refused]
    assert "Retry all of this cause" in narrowed
    assert listed(web.get(f"{DELIVERIES}?error=No+answer.").text) == [also, silent, refused]
    assert "error=Line+one" in answer.location
    assert states() == ["waiting", "dismissed", "dismissed"]


@pytest.mark.parametrize(
    ("integration", "message"),
    [
        ("webhook:gone", "Its channel was deleted, so it can only be dismissed."),
        ("webhook:off", "Its channel is turned off. Turn it on first."),
    ],
)
def test_delivery_that_would_be_given_up_at_once_is_not_tried(
    web: WebClient, project: ProjectRef, integration: str, message: str
) -> None:
    channels.create_channel(
        project.organization_id, "webhook", "off", "Off", {"url": "https://ops.example.com/"},
        actor=SERVER, context=current_process().send_context, now=utcnow(), enabled=False,
    )  # fmt: skip
    dead = fail(project)
    give_up(dead)
    db.session.get_one(Delivery, dead).integration = integration
    db.session.commit()

    answer = web.post(f"{DELIVERIES}{dead}/replay")

    assert message in web.get(answer.location).text
    assert (states(), trail()) == (["dead"], [("server", "channel.create", "webhook:off", "Off")])


def test_tries_are_numbered_on_after_a_replay(web: WebClient, project: ProjectRef) -> None:
    dead = fail(project)
    give_up(dead)
    give_up(dead)

    page = words(web.get(f"{DELIVERIES}{dead}/").text)

    assert re.findall(r"(\d)\. 20", page) == ["2", "1"]


def live(web: WebClient, path: str, etag: str = "") -> Any:
    headers = {"X-Live": "1", "If-None-Match": f'"{etag}"'}
    return web.get(path, headers=headers)


def test_open_pages_of_alerts_show_what_becomes_of_a_delivery(
    web: WebClient, make_app: Callable[..., Flask], project: ProjectRef
) -> None:
    delivery_id = fail(project)
    global_actions.create_global_action(
        project.organization_id,
        {"name": "all", "trigger": "error", "channels": [MAIL]},
        actor=SERVER,
        now=utcnow(),
    )
    db.session.commit()
    alerts = "/a/acme/alerts/"
    pages = (DELIVERIES, f"{DELIVERIES}{delivery_id}/", alerts, f"{alerts}channels/")
    etags = [re.findall(r'data-etag="([^"]+)"', web.get(path).text)[0] for path in pages]
    counts = []
    for path, etag in zip(pages, etags, strict=True):
        assert live(web, path, etag).status_code == 304
        with count_queries() as queries:
            assert live(web, path, etag).status_code == 304
        counts.append(len(queries))
    give_up(delivery_id)
    other = browser_for(make_app(), make_member())  # Of a process that remembers nothing.
    news = [live(other, path, etag) for path, etag in zip(pages, etags, strict=True)]

    # Who asks, and the rows of a list with their receivers; the rest is shared for a while.
    assert counts == [3, 1, 2, 2]
    assert [answer.status_code for answer in news] == [200] * 4
    for answer in news:
        assert "1 alert</a> could not be delivered" in answer.text
        assert "csrf_token" not in answer.text
    assert "The receiver answered 500." in news[0].text
    assert "The receiver answered 500." in news[1].text


@pytest.mark.parametrize("number", ["x", "%00", "a" * 22])
def test_unknown_delivery_is_not_found(web: WebClient, project: ProjectRef, number: str) -> None:
    foreign = fail(make_project("other", "web"))

    for one in (number, foreign):
        assert web.get(f"{DELIVERIES}{one}/").status_code == 404
        assert web.post(f"{DELIVERIES}{one}/replay").status_code == 404


def test_viewer_sees_deliveries_and_replays_none(app: Flask, project: ProjectRef) -> None:
    dead = fail(project)
    give_up(dead)
    viewer = browser_for(app, make_member("v@example.org", "viewer"))

    pages = [viewer.get(path).text for path in (DELIVERIES, f"{DELIVERIES}{dead}/")]

    assert [("Try again" in page, "The receiver answered 500." in page) for page in pages] == [
        (False, True),
        (False, True),
    ]
    assert viewer.post(f"{DELIVERIES}{dead}/replay").status_code == 403


def test_hostile_strings_are_shown_as_text(web: WebClient, project: ProjectRef) -> None:
    dead = fail(project, HOSTILE)
    give_up(dead, HOSTILE)
    path: Any = {"state": HOSTILE, "channel": HOSTILE[:40]}

    pages = [web.get(DELIVERIES).text, web.get(f"{DELIVERIES}{dead}/").text]
    filtered = web.get(DELIVERIES, query_string=path).text

    for page in pages:
        assert ESCAPED in page
    for page in (*pages, filtered):
        assert "<script>alert" not in page
        assert "<img" not in page


def test_what_was_not_sent_says_why(web: WebClient, project: ProjectRef) -> None:
    why = "retried by X, which succeeded"
    waiting, dropped = fail(project), fail(project, "other")
    later = utcnow() + timedelta(hours=1)
    for delivery_id, values in (
        (waiting, {"held_by": "held by ‹deploy›", "next_attempt_at": later}),
        (dropped, {"held_by": why, "state": "dropped", "next_attempt_at": None, "finished": later}),
    ):
        db.session.query(Delivery).filter_by(id=delivery_id).update(values)
    db.session.commit()

    page = words(web.get(DELIVERIES).text)
    assert re.search("held held until [^a-z]* UTC by the window ‹deploy›", page)
    assert f"not sent {why}" in page
    assert f"Not sent: {why}" in words(web.get(f"{DELIVERIES}{dropped}/").text)
    one = words(web.get(f"{DELIVERIES}{waiting}/").text)
    assert re.search("Waitingheld until [^a-z]* UTC by the window ‹deploy›", one)
    only = words(web.get(f"{DELIVERIES}?state=dropped").text)
    assert (why in only, "deploy" in only) == (True, False)


def test_task_says_why_a_message_was_not_sent(web: WebClient, project: ProjectRef) -> None:
    fail(project)
    task_id = json.loads(db.session.query(Delivery).one().message)["task"]["id"]
    path = f"/a/acme/tasks/{task_id}/"
    before = web.get(path, headers={"X-Live": "1"}).headers["ETag"]
    db.session.query(Delivery).update({"state": "dropped", "held_by": "retried by X"})
    db.session.commit()
    current_process().forget()

    answer = web.get(path, headers={"X-Live": "1", "If-None-Match": before})

    assert "not sent retried by X" in words(answer.text)


def test_message_of_a_deleted_alert_rule_says_so_on_its_page_and_on_the_task(
    web: WebClient, project: ProjectRef
) -> None:
    made = global_actions.create_global_action(
        project.organization_id,
        {"name": "errors", "trigger": "error", "channels": [MAIL], "wait_for_retry": 60},
        actor=SERVER,
        now=utcnow(),
    )
    db.session.commit()
    fail(project)
    queued = db.session.scalars(select(Delivery).where(Delivery.firing_id.is_not(None)))
    of_rule = next(row.id for row in queued if row.waits_for_retry)
    web.post(f"/a/acme/alerts/{made.id}/delete", {})
    task_id = db.session.scalars(select(Firing.task_id).limit(1)).one()

    shown = words(web.get(f"{DELIVERIES}{of_rule}/").text)
    task = words(web.get(f"/a/acme/tasks/{task_id}/").text)

    assert "Not sent: its alert rule was deleted" in shown
    assert "the alert rule errors, which was deleted, on error" in shown
    assert "fired errors on error to email" in task
    assert "email to ops@example.com not sent its alert rule was deleted It was deleted." in task


def test_task_says_until_when_a_message_is_held_and_why(
    web: WebClient, project: ProjectRef
) -> None:
    fields: Any = {"trigger": "error", "channels": [MAIL]}
    for more in ({"wait_for_retry": 600}, {"mode": "incident"}):
        global_actions.create_global_action(
            project.organization_id,
            {**fields, "name": more.get("mode", "waits"), **more},
            actor=SERVER,
            now=utcnow(),
        )
    db.session.commit()
    made = write.create_task(
        project, {"name": "import", "status": "error"}, now=utcnow(), actor=Actor("key", "ci")
    )
    db.session.commit()

    page = words(web.get(f"/a/acme/tasks/{made.id}/").text)

    assert "fired waits on error to email, each time" in page
    assert "did not fire incident on error to email, once for an incident" in page
    held = r"email to ops@example.com held held until .{5,40} in case the run is tried again"
    assert re.search(held, page)


def test_open_page_of_a_task_sees_that_a_message_is_held_longer(
    web: WebClient, project: ProjectRef
) -> None:
    fail(project)
    task_id = db.session.scalars(select(Firing.task_id)).one()
    path = f"/a/acme/tasks/{task_id}/"
    before = web.get(path, headers={"X-Live": "1"}).headers["ETag"]
    later = utcnow() + timedelta(hours=2)
    db.session.query(Delivery).update({"next_attempt_at": later})
    db.session.commit()
    current_process().forget()

    answer = web.get(path, headers={"X-Live": "1", "If-None-Match": before})

    assert "held held until" in words(answer.text)
