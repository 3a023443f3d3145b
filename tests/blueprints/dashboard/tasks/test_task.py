"""The page of one task."""

import html
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from alerting import MAIL
from blueprints.dashboard.doing import count_runs, make_task
from blueprints.dashboard.forms_read import HOSTILE, live
from conftest import count_queries, make_project
from flask import Flask
from people import WebClient, browser_for, make_member
from sqlalchemy import insert, select, update

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Incident, Project, Task, TaskEvent
from taskbadger.services.alerts import global_actions
from taskbadger.services.alerts.incident_reasons import NOT_FOLLOWED
from taskbadger.services.incidents import notices
from taskbadger.services.tasks import write

CI = Actor("key", "ci")


def change(project: ProjectRef, task_id: str, *, ago: float = 0, **data: Any) -> None:
    write.update_task(project, task_id, data, now=utcnow() - timedelta(seconds=ago), actor=CI)
    db.session.commit()


def show(project: ProjectRef, **settings: bool) -> None:
    db.session.execute(update(Project).where(Project.id == project.id).values(**settings))
    db.session.commit()


def add_retries(task_id: str, number: int) -> None:
    """Add that many changes of state to a task's history, past the service: that is faster."""
    entry = {"task_id": task_id, "type": "status", "value_max": 100, "actor_type": "key"}
    began = utcnow() - timedelta(hours=1)
    rows = [
        {
            **entry,
            "created": began + timedelta(seconds=at),
            "status": "error" if at % 2 else "processing",
            "actor_name": "ci",
        }
        for at in range(number)
    ]
    db.session.execute(insert(TaskEvent), rows)
    db.session.commit()


def path(task_id: str) -> str:
    return f"/a/acme/tasks/{task_id}/"


def test_page_tells_the_story_of_a_task(web: WebClient, project: ProjectRef) -> None:
    task_id = make_task(
        project,
        "import",
        ago=100,
        queue="high",
        external_id="celery-1",
        tags={"env": "prod"},
        data='{"rows":12,"db":{"password":"hunter2","url":"postgres://u:pw@db/x"},"api_token":7}',
        max_runtime=600,
    )
    change(project, task_id, ago=90, status="processing", value=10)
    change(project, task_id, ago=50, value=40)
    change(project, task_id, ago=30, value=70)

    response = web.get(path(task_id))

    page = response.text
    assert response.status_code == 200
    assert '<progress value="70" max="100"' in page
    assert "10 s" in page
    assert "40 s" not in re.sub(r"(?s)<script.*?</script>", "", page)
    assert "by key “ci”" in page
    [standing, timeline] = re.findall(r'data-since="([^"]*)">1 min 3\d s</span>', page)
    assert standing == timeline
    assert "data-chart " in page
    whole = web.get(path(task_id) + "data").text
    for shown in (page, whole):
        for secret in ("hunter2", "u:pw@", '"api_token": 7'):
            assert secret not in shown
        assert shown.count("••••••") == 3
    assert 'href="/a/acme/tasks/?q=tag:env:prod"' in page
    assert 'href="/a/acme/tasks/?q=queue:high"' in page


def test_public_page_and_badge_are_offered_only_where_they_are_shown(
    web: WebClient, project: ProjectRef
) -> None:
    task_id = make_task(project, "a [b] \\")
    address = f"http://localhost/public/tasks/{task_id}/"
    for shown in (True, False):
        show(project, public_pages=shown)
        page = html.unescape(web.get(path(task_id)).text)

        assert (f'href="{address}"' in page) is shown
        assert (f'data-copy="{address}"' in page) is shown
        badge = f"[![a \\[b\\] \\\\]({address}badge.svg)]({address})"
        assert (f'data-copy="{badge}"' in page) is shown
        assert ("/public/" in page) is shown


def test_invisible_name_can_be_seen_and_clicked_everywhere(
    app: Flask, web: WebClient, project: ProjectRef
) -> None:
    parent = make_task(project, "\u200b", status="processing")
    make_task(project, "\u2800", parent=parent, tags={"שם": "ערך"})

    pages = [web.get(path(parent)).text, web.get("/a/acme/tasks/").text]
    public = browser_for(app).get(f"/public/tasks/{parent}/")

    for page in pages:
        assert "invisible: U+2800" in page
    assert "<h1>(invisible: U+200B)</h1>" in pages[0]
    assert "<h1>(invisible: U+200B)</h1>" in public.text
    assert "(invisible: U+200B)</a>" in pages[1]
    assert '<bdi class="tag-name">שם</bdi><bdi>ערך</bdi>' in pages[1]


def test_many_tags_are_folded_and_stand_below_the_progress(
    web: WebClient, project: ProjectRef
) -> None:
    task_id = make_task(project, value=5, tags={f"t{at:02}": "x" * 255 for at in range(50)})

    page = web.get(path(task_id)).text

    places = [page.index(part) for part in ("<progress", ">t00<", ">t07<", "42 more tags", ">t08<")]
    assert places == sorted(places)


def test_task_without_progress_has_no_bar(web: WebClient, project: ProjectRef) -> None:
    page = web.get(path(make_task(project, status="processing"))).text

    assert "not reported" in page
    assert 'class="progress' not in page


def test_run_time_stands_beside_the_usual_one(web: WebClient, project: ProjectRef) -> None:
    for _ in range(3):
        change(project, make_task(project, ago=230, status="processing"), status="success")
    count_runs()
    ended = make_task(project, ago=100, status="processing")
    running = make_task(project, ago=70, status="processing")
    change(project, ended, status="error")

    notes = [
        re.findall(r"<dt>Run time</dt><dd>.*? <small>([^<]*)<", web.get(path(task_id)).text)
        for task_id in (running, ended)
    ]

    assert re.fullmatch(r"so far, usually 3\.[789] min", notes[0][0])
    assert re.fullmatch(r"usually 3\.[789] min", notes[1][0])


def test_success_has_no_bar_because_it_is_done(web: WebClient, project: ProjectRef) -> None:
    task_id = make_task(project, status="success", value=25)

    page = web.get(path(task_id)).text

    assert "<progress" not in page
    assert "<dt>Value</dt><dd>25 <small>of 100</small>" in page


def test_task_that_never_ran_has_no_times_of_a_run(web: WebClient, project: ProjectRef) -> None:
    page = web.get(path(make_task(project, status="error"))).text

    assert "before it started" not in page
    assert "so far" not in page
    assert "data-since" not in page


def test_runs_of_the_same_name_lead_to_each_other(web: WebClient, project: ProjectRef) -> None:
    made = [make_task(project, "import", ago=ago) for ago in (30, 20, 10)]

    page = web.get(path(made[1])).text

    assert re.findall(r'rel="(prev|next)"\s+href="([^"]*)"', page) == [
        ("prev", path(made[0])),
        ("next", path(made[2])),
    ]


def test_children_are_listed_and_keep_the_page_moving(web: WebClient, project: ProjectRef) -> None:
    parent = make_task(project, "parent")
    child = make_task(project, "child", parent=parent, status="processing", value=5)
    first = live(web, path(parent))
    assert f'href="{path(child)}"' in first.text

    change(project, child, value=66)
    second = live(web, path(parent), first.headers["ETag"])

    assert second.status_code == 200
    assert '<progress value="66"' in second.text
    assert f'href="{path(parent)}"' in web.get(path(child)).text


def test_open_page_gets_304_after_one_look_up_and_200_after_a_change(
    web: WebClient, project: ProjectRef
) -> None:
    task_id = make_task(project, status="processing", value=1)
    etag = live(web, path(task_id)).headers["ETag"]

    with count_queries() as statements:
        unchanged = live(web, path(task_id), etag)
    change(project, task_id, value=2)
    changed = live(web, path(task_id), etag)

    assert (unchanged.status_code, changed.status_code) == (304, 200)
    assert len([one for one in statements if "FROM task" in one]) == 1
    assert '<progress value="2"' in changed.text


def test_alerts_tell_why_they_fired_or_did_not(web: WebClient, project: ProjectRef) -> None:
    actions = [
        {"trigger": "50%,error", "integration": "email", "config": {"to": "a@example.com"}},
        {"trigger": "success", "integration": "email", "config": {"to": "b@example.com"}},
    ]
    task_id = make_task(project, status="processing", value=1, actions=actions)
    first = live(web, path(task_id))

    change(project, task_id, value=60)
    second = live(web, path(task_id), first.headers["ETag"])

    text = " ".join(re.sub("<[^>]*>", " ", second.text).split())
    assert "fired Action of this task on 50%,error to email" in text
    assert "50% just now : 1 → 60 · email to a@example.com waiting" in text
    delivery_id = db.session.scalar(select(Delivery.id))
    db.session.rollback()
    assert f'href="/a/acme/alerts/deliveries/{delivery_id}/"' in second.text
    assert "did not fire Action of this task on success" in text
    assert "No alert rule applies to this task" in web.get(path(make_task(project))).text


def test_rule_that_tells_of_incidents_says_what_it_told(
    web: WebClient, project: ProjectRef
) -> None:
    data = {"name": "nights", "trigger": "error", "channels": [MAIL], "mode": "incident"}
    global_actions.create_global_action(project.organization_id, data, actor=SERVER, now=utcnow())
    task_id = make_task(project, status="error")
    before = live(web, path(task_id))
    count_runs()
    now = utcnow()
    due = notices.list_due(now=now, limit=10)
    db.session.rollback()
    notices.tell_due(due, now=now, followed_until=now, base_url="http://localhost")
    db.session.commit()
    number = db.session.scalar(select(Incident.id))
    db.session.rollback()

    after = live(web, path(task_id), before.headers["ETag"])

    rule = "nights on error to email, once for an incident"
    assert f"did not fire {rule} {NOT_FOLLOWED}" in plain(before.text)
    assert f"told {rule} Incident {number} was reported at" in plain(after.text)


def test_open_page_learns_of_the_incident_and_of_later_attempts(
    web: WebClient, project: ProjectRef
) -> None:
    task_id = make_task(project, status="error", external_id="celery-1")
    etag = live(web, path(task_id)).headers["ETag"]
    later: list[str] = []
    changes: list[Callable[[], object]] = [
        count_runs,
        lambda: db.session.execute(update(Incident).values(snoozed_at=utcnow())),
        lambda: db.session.execute(update(Incident).values(snoozed_until=utcnow())),
        lambda: db.session.execute(update(Incident).values(closed_at=utcnow())),
        lambda: later.append(make_task(project, status="processing", external_id="celery-1")),
        lambda: change(project, later[0], status="success"),
    ]

    for change_something in changes:
        change_something()
        db.session.commit()
        count_runs()
        answer = live(web, path(task_id), etag)
        assert answer.status_code == 200
        etag = answer.headers["ETag"]
    assert live(web, path(task_id), etag).status_code == 304


def plain(page: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", page).split())


def test_open_page_learns_of_a_delivery(web: WebClient, project: ProjectRef) -> None:
    action = {"trigger": "error", "integration": "email", "config": {"to": "a@example.com"}}
    task_id = make_task(project, actions=[action])
    change(project, task_id, status="error")
    etag = live(web, path(task_id)).headers["ETag"]
    assert live(web, path(task_id), etag).status_code == 304

    db.session.execute(update(Delivery).values(state="dead", error="refused"))
    db.session.commit()

    assert "refused" in live(web, path(task_id), etag).text


def test_number_of_queries_is_pinned(web: WebClient, project: ProjectRef) -> None:
    task_id = make_task(project, data='{"a": 1}')
    numbers = []
    for value in (1, 50):
        change(project, task_id, value=value, status="processing")
        with count_queries() as statements:
            web.get(path(task_id))
        numbers.append(len(statements))

    assert numbers[0] == numbers[1]
    assert numbers[0] <= 15


def test_hostile_text_is_escaped(web: WebClient, project: ProjectRef) -> None:
    task_id = make_task(
        project,
        HOSTILE,
        queue=HOSTILE,
        external_id=HOSTILE,
        tags={HOSTILE: HOSTILE},
        data='{"<script>alert(3)</script>": "<script>alert(4)</script>"}',
    )

    page = web.get(path(task_id)).text

    assert "<script>alert" not in page
    assert "<img" not in page


@pytest.mark.parametrize("data", ["null", "0", '""', "[]", "[[[]]]", '"text"', "true"])
def test_any_data_is_shown(web: WebClient, project: ProjectRef, data: str) -> None:
    task_id = make_task(project, data=data)

    assert web.get(path(task_id)).status_code == 200


@pytest.mark.parametrize("number", ["1e400", "-0.10000000000000001", "12.50", "9" * 5000])
def test_numbers_are_shown_as_they_were_sent(
    web: WebClient, project: ProjectRef, number: str
) -> None:
    task_id = make_task(project, data=f"[{number}]")

    assert f'<span class="json-number">{number}</span>' in web.get(path(task_id)).text


def test_data_is_as_deep_as_the_server_takes_it(web: WebClient, project: ProjectRef) -> None:
    task_id = make_task(project, data="[" * 99 + "]" * 99)

    assert "deeper than shown" in web.get(path(task_id)).text


def test_data_is_given_whole_at_an_address_of_its_own(
    app: Flask, web: WebClient, project: ProjectRef
) -> None:
    task_id = make_task(project, data='{"token":"x","n":1e400,"é":["a\\nb"]}')
    viewer = browser_for(app, make_member("vi@example.org", "viewer"))

    answer = viewer.get(path(task_id) + "data")

    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.text == ('{\n  "token": "••••••",\n  "n": 1e400,\n  "é": [\n    "a\\nb"\n  ]\n}')
    assert web.get(path(make_task(project)) + "data").status_code == 404
    assert web.get(path(make_task(make_project("other", "web"))) + "data").status_code == 404


def test_much_data_is_shown_in_part_and_sent_only_when_it_changes(
    app: Flask, web: WebClient, project: ProjectRef
) -> None:
    rows = [{"sku": f"A-{at}", "price": at, "ok": True} for at in range(5000)]
    task_id = make_task(project, data=json.dumps(rows), status="processing", value=1)
    show(project, public_pages=True, public_data=True)

    for client, url in ((web, path(task_id)), (browser_for(app), f"/public/tasks/{task_id}/")):
        page = client.get(url)
        etag = live(client, url).headers["ETag"]
        change(project, task_id, value=2 if client is web else 3)
        moved = live(client, url, etag)
        change(project, task_id, data=f'["{url}"]')
        other = live(client, url, moved.headers["ETag"])

        assert len(page.data) < 150_000
        assert "A-0" in page.text
        assert "Only part of the data is shown." in page.text
        assert len(moved.data) < 20_000
        assert "A-0" not in moved.text
        assert 'id="data"' not in moved.text
        assert f'"{url}"' in other.text
        change(project, task_id, data=json.dumps(rows))


def test_task_of_another_organization_is_not_found(web: WebClient, project: ProjectRef) -> None:
    foreign = make_task(make_project("other", "web"))

    for task_id in (foreign, "AZHAkAAAcACAAAAAAAAAAA", "nonsense"):
        assert web.get(path(task_id)).status_code == 404
        assert web.post(path(task_id) + "cancel").status_code == 404


def test_member_cancels_and_viewer_cannot(app: Flask, web: WebClient, project: ProjectRef) -> None:
    task_id = make_task(project, status="processing")
    viewer = browser_for(app, make_member("vi@example.org", "viewer"))

    assert viewer.post(path(task_id) + "cancel").status_code == 403
    assert 'form="cancel"' not in viewer.get(path(task_id)).text
    assert 'form="cancel"' in web.get(path(task_id)).text
    assert web.post(path(task_id) + "cancel").location == path(task_id)

    assert db.session.scalar(select(Task.status)) == "cancelled"
    db.session.rollback()
    page = web.get(path(task_id)).text
    assert 'form="cancel"' not in page
    assert "by ada@example.org" in page


def test_long_history_is_cut(web: WebClient, project: ProjectRef) -> None:
    task_id = make_task(project, ago=1000, status="processing")
    add_retries(task_id, 60)

    page = web.get(path(task_id)).text

    assert "11 older events are in the API" in page


def test_progress_between_the_first_and_the_last_is_folded(
    web: WebClient, project: ProjectRef
) -> None:
    task_id = make_task(project, ago=1000, status="processing")
    for number in range(1, 61):
        change(project, task_id, ago=900 - 10 * number, value=number)

    page = web.get(path(task_id)).text.partition('id="events"')[2]

    assert re.findall(r'data-label="value">([^<]*)<', page) == ["60", "1", "–"]
    assert "58 updates of progress between" in page
    folded = re.findall(r'<li><span class="num">(\d+)<', page)
    assert folded == [str(number) for number in range(59, 1, -1)]


def test_children_show_what_tells_them_apart(web: WebClient, project: ProjectRef) -> None:
    parent = make_task(project, "parent", status="processing")
    for customer in ("41", "42"):
        tags = {"env": "prod", "customer": customer}
        make_task(project, "part", parent=parent, tags=tags, external_id=f"id-{customer}")

    page = web.get(path(parent)).text.partition('id="children"')[2].partition("</table>")[0]

    assert re.findall(r'<bdi class="tag-name">(\w+)</bdi><bdi>(\w+)</bdi>', page) == [
        ("customer", "42"),
        ("customer", "41"),
    ]
    assert "id-4" not in page


def test_alerts_that_did_not_fire_are_folded_while_the_task_goes_on(
    web: WebClient, project: ProjectRef
) -> None:
    actions = [{"trigger": "success", "integration": "email", "config": {"to": "b@example.com"}}]
    task_id = make_task(project, status="processing", actions=actions)

    going_on = web.get(path(task_id)).text
    change(project, task_id, status="error")
    ended = web.get(path(task_id)).text

    folded = r'<details class="fold"[^>]*><summary>1 alert has not fired yet</summary>'
    assert len(re.findall(folded, going_on)) == 1
    assert "not fired yet" not in ended
    assert "did not fire" in ended


def test_address_in_the_data_is_a_link(web: WebClient, project: ProjectRef) -> None:
    url = "https://sentry.example.com/issues/7"
    data = json.dumps({"sentry": {"url": url}, "bad": "javascript:alert(1)"})
    task_id = make_task(project, data=data)

    page = web.get(path(task_id)).text

    assert f'<a href="{url}" rel="noopener noreferrer nofollow">{url}</a>' in page
    assert 'href="javascript' not in page


def test_page_of_a_task_with_a_long_history_shows_its_end(
    app: Flask, web: WebClient, project: ProjectRef
) -> None:
    task_id = make_task(project, ago=1000)
    add_retries(task_id, 1150)
    change(project, task_id, status="success")

    for client, url in ((web, path(task_id)), (browser_for(app), f"/public/tasks/{task_id}/")):
        page = client.get(url).text
        timeline = page.partition('<ol class="timeline">')[2].partition("</ol>")[0]
        assert timeline.count("<li") == 31
        assert "… 1,122 earlier" in timeline
        assert re.findall("<strong>([^<]*)</strong>", timeline)[-2:] == ["error", "success"]
    page = web.get(path(task_id)).text
    assert "1,102 older events are in the API" in page
    first = page.partition('id="events"')[2].partition("<tr data-key")[2].partition("</tr>")[0]
    assert "success" in first


def test_attempts_of_a_run_stand_side_by_side(web: WebClient, project: ProjectRef) -> None:
    first = make_task(project, "import", status="error", external_id="celery-1")
    second = make_task(project, "import", status="success", external_id="celery-1")
    alone = make_task(project, "import", status="success", external_id="celery-2")

    page = web.get(f"/a/acme/tasks/{first}/").text
    [block] = re.findall(r'<div id="attempts".*?</section>', page, re.DOTALL)

    assert re.findall(r'data-key="([^"]+)"', block) == [second, first]
    assert "<strong>this task</strong>" in block
    assert "<h2>Attempts</h2>" not in web.get(f"/a/acme/tasks/{alone}/").text


def test_open_page_learns_of_the_next_attempt(web: WebClient, project: ProjectRef) -> None:
    first = make_task(project, "import", status="error", external_id="celery-1")
    before = live(web, path(first))
    make_task(project, "import", status="processing", external_id="celery-1")
    count_runs()

    after = live(web, path(first), before.headers["ETag"])

    assert "<h2>Attempts</h2>" in after.text
