"""Windows of a file: created, changed, found by their names, and removed."""

import pytest
from holding import NOW, make_window
from watching import Watch

from taskbadger.channels import SendContext
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import MaintenanceWindow, Organization
from taskbadger.services.apply import apply
from taskbadger.services.apply.diff import write
from taskbadger.services.apply.file import FileError, read

WINDOW = """
windows:
  - name: deploy
    monitor: web/nightly
    starts: 2026-05-04T03:00:00Z
    ends: 2026-05-04T04:00:00Z
"""


def put(project: ProjectRef, text: str = WINDOW, *, prune: bool = False) -> list[str]:
    """Apply a file; return the lines that it prints."""
    organization = db.session.get_one(Organization, project.organization_id)
    document = read(text.encode(), "acme.yaml", {})
    changes = apply.apply(document, organization, prune=prune, context=SendContext(), now=NOW)
    db.session.commit()
    return write(changes).splitlines()


def names() -> list[str]:
    return sorted(one.name for one in db.session.query(MaintenanceWindow))


def test_window_is_created_once_and_changed(project: ProjectRef) -> None:
    monitor = Watch(project).monitor

    assert put(project) == [
        "+ window deploy",
        "    monitor: web/nightly",
        "    starts: 2026-05-04T03:00:00Z",
        "    ends: 2026-05-04T04:00:00Z",
        "    timezone: UTC",
        "1 added",
    ]
    assert db.session.query(MaintenanceWindow).one().monitor_id == monitor.id
    assert put(project) == []
    daily = WINDOW.partition("    monitor")[0] + "    schedule: '@daily'\n    duration: 60\n"
    assert put(project, daily) == [
        "~ window deploy",
        "    monitor: web/nightly → none",
        "    starts: 2026-05-04T03:00:00Z → none",
        "    ends: 2026-05-04T04:00:00Z → none",
        "    schedule: none → @daily",
        "    duration: none → 60",
        "1 changed",
    ]


def test_prune_removes_what_the_file_does_not_name_and_is_not_over(project: ProjectRef) -> None:
    make_window(project, name="coming")
    make_window(project, name="over", starts=NOW.replace(hour=1), ends=NOW.replace(hour=2))

    assert put(project, "windows: []\n", prune=True) == ["- window coming", "1 removed"]
    assert names() == ["over"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            ("web/nightly", "web/daily"),
            "4: windows.0.monitor: There is no monitor “web/daily” in this organization. "
            "Write project/name.",
        ),
        (("T04:00", "T03:00"), "6: windows.0.ends: It must end after it starts."),
        (
            ("    ends: 2026-05-04T04:00:00Z\n", ""),
            "3: windows.0.ends: Give starts and ends together.",
        ),
    ],
)
def test_wrong_window_is_an_error_with_its_line(
    project: ProjectRef, change: tuple[str, str], problem: str
) -> None:
    Watch(project)

    with pytest.raises(FileError) as raised:
        put(project, WINDOW.replace(*change))

    assert str(raised.value).splitlines() == ["nothing was changed:", f"acme.yaml:{problem}"]
    db.session.rollback()
    assert names() == []


def test_two_windows_of_one_name_are_an_error(project: ProjectRef) -> None:
    Watch(project)
    for _ in range(2):
        make_window(project)

    with pytest.raises(FileError) as raised:
        put(project)

    assert str(raised.value).splitlines()[1:] == [
        "acme.yaml:3: windows.0: 2 windows have this name: rename or remove some."
    ]
