"""The public addresses that pages offer to copy."""

import re
import xml.etree.ElementTree as ET

import pytest
from blueprints.public_names import ANY_NAMES
from people import WebClient
from sqlalchemy import update
from watching import ACTOR, Watch

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Project
from taskbadger.services.tasks import write


def run(project: ProjectRef, name: str) -> None:
    task = {"name": name, "status": "success"}
    write.create_task(project, task, now=utcnow(), actor=ACTOR)
    db.session.commit()


@pytest.mark.parametrize("name", ANY_NAMES)
def test_links_to_copy_work_in_a_readme(web: WebClient, project: ProjectRef, name: str) -> None:
    watch = Watch(project, fields={"name": name, "task_name": name})
    run(project, name)

    pages = (
        web.get("/a/acme/names/web/", query_string={"name": name}),
        web.get(f"/a/acme/monitors/{watch.monitor.id}/"),
    )
    for answer in pages:
        page, badge = re.findall(r'href="http://localhost(/public/[^"]*)"', answer.text)
        assert web.get(page).status_code == 200
        assert badge == f"{page}badge.svg"
        texts = [one.text for one in ET.fromstring(web.get(badge).data).iter() if one.text]
        assert texts[-1].startswith("success since ")
        assert f"](http://localhost{badge})](http://localhost{page})" in answer.text
        assert not re.search(r"[\s()<>]", page)


def test_nothing_is_offered_where_pages_are_not_public(web: WebClient, project: ProjectRef) -> None:
    run(project, "import")
    watch = Watch(project)
    db.session.execute(update(Project).values(public_pages=False))
    db.session.commit()

    for path in ("/a/acme/names/web/?name=import", f"/a/acme/monitors/{watch.monitor.id}/"):
        assert "/public/" not in web.get(path).text
