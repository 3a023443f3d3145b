"""The latest run that the public page of a name or a monitor shows, and its version."""

from collections.abc import Callable

import pytest
from sqlalchemy import update
from watching import ACTOR, Watch, at, sweep

from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import Project
from taskbadger.services.tasks import latest, write
from taskbadger.services.tasks.latest import Latest


def of_job(project: ProjectRef) -> Latest:
    return latest.find_of_name(project.organization, project.slug, "job")


def of(watch: Watch) -> Latest:
    return latest.find_of_monitor(str(watch.monitor.id))


def show(**settings: bool) -> None:
    db.session.execute(update(Project).values(**settings))
    db.session.commit()


def test_latest_run_of_a_name_is_the_newest_task(project: ProjectRef) -> None:
    watch = Watch(project)
    watch.run("12:00", "error")
    newest = watch.run("13:00", "processing")
    watch.run("14:00", name="other")

    found = of_job(project)

    assert found == Latest(
        name="job",
        organization="acme",
        project="web",
        task_id=newest,
        status="processing",
        version=found.version,
    )


def test_latest_run_of_a_monitor_comes_with_its_health(project: ProjectRef) -> None:
    watch = Watch(project)
    assert (of(watch).task_id, of(watch).status, of(watch).health) == (None, None, "new")
    run = watch.run("12:00", "success")
    assert (of(watch).task_id, of(watch).health) == (run, "healthy")
    sweep("13:02")

    found = of(watch)

    assert found == Latest(
        name="nightly",
        organization="acme",
        project="web",
        task_id=run,
        status="success",
        version=found.version,
        health="failing",
        failing_since=at("13:02"),
    )


def rename(watch: Watch) -> None:
    watch.edit("12:30", name="renamed")


CHANGES: dict[str, Callable[[Watch, str], object]] = {
    "progress": lambda watch, run: watch.report(run, "12:05", value=10),
    "a newer run": lambda watch, _run: watch.run("13:00"),
    "public data": lambda _watch, _run: show(public_data=True),
    "public tags": lambda _watch, _run: show(public_tags=True),
}


@pytest.mark.parametrize("name", CHANGES)
def test_version_changes_with_what_the_pages_show(project: ProjectRef, name: str) -> None:
    show(public_data=False, public_tags=False)
    watch = Watch(project)
    run = watch.run("12:00")
    before = of_job(project).version, of(watch).version

    CHANGES[name](watch, run)

    after = of_job(project).version, of(watch).version
    assert after[0] != before[0]
    assert after[1] != before[1]


@pytest.mark.parametrize("change", [rename, lambda watch: sweep("13:02")])
def test_version_of_a_monitor_changes_with_the_monitor(
    project: ProjectRef, change: Callable[[Watch], object]
) -> None:
    watch = Watch(project)
    watch.run("12:00", "success")
    before = of(watch).version

    change(watch)

    assert of(watch).version != before


def test_nothing_is_found_where_pages_are_not_public(project: ProjectRef) -> None:
    watch = Watch(project)
    watch.run("12:00")
    show(public_pages=False)

    for find in (lambda: of_job(project), lambda: of(watch)):
        with pytest.raises(NotFound):
            find()


def test_name_whose_tasks_are_gone_is_not_found(project: ProjectRef) -> None:
    write.create_task(project, {"name": "other"}, now=at("12:00"), actor=ACTOR)

    with pytest.raises(NotFound):
        of_job(project)
