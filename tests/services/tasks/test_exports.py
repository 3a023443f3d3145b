"""Exports of a search."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from conftest import make_project
from sqlalchemy import text

from taskbadger.clock import to_wire
from taskbadger.domain import numbers, secrets
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.services.tasks import exports, write
from taskbadger.services.tasks.exports import Selection
from taskbadger.services.tasks.filters import Filters

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def make_task(project: ProjectRef, name: str, ago: int = 0, **data: object) -> str:
    actor = Actor("user", "ada@example.org")
    now = NOW - timedelta(seconds=ago)
    task = write.create_task(project, {"name": name, **data}, now=now, actor=actor)
    db.session.commit()
    return str(task.id)


@pytest.fixture
def exported(project: ProjectRef) -> list[ProjectRef]:
    other = make_project("acme", "worker")
    make_task(project, "=cmd|' /C calc'!A0", queue="+1", external_id="@x")
    make_task(other, 'a "b", c\nd', ago=1, value=1, value_max=3, tags={"env": "prod", "b": "é"})
    make_task(project, "-2", ago=2, status="success")
    return [project, other]


def test_csv_holds_every_task_and_no_formula(exported: list[ProjectRef]) -> None:
    parts = list(exports.export_csv(Selection(exported, Filters())))

    found = "".join(parts)
    assert found.startswith("\ufeffid,project,name,")
    rows = list(csv.DictReader(io.StringIO(found[1:], newline="")))
    assert [(row["project"], row["name"], row["queue"], row["external_id"]) for row in rows] == [
        ("web", "'=cmd|' /C calc'!A0", "'+1", "'@x"),
        ("worker", 'a "b", c\nd', "", ""),
        ("web", "'-2", "", ""),
    ]
    assert rows[1]["tags"] == '{"b": "é", "env": "prod"}'
    assert [rows[1][name] for name in ("value", "value_max", "value_percent")] == ["1", "3", "33"]
    assert rows[2]["end_time"] == to_wire(NOW - timedelta(seconds=2))


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("＝1+1", "'＝1+1"),
        ("＋1", "'＋1"),
        ("－1", "'－1"),
        ("＠x", "'＠x"),
        ("\ufeff=1", "'\ufeff=1"),
        ("\u200b\u200b@x", "'\u200b\u200b@x"),
        (" =1", "' =1"),
        ("\u00a0+1", "'\u00a0+1"),
        ("a=1", "a=1"),
        ("\u200ba", "\u200ba"),
    ],
)
def test_csv_holds_no_formula_in_full_width_or_behind_invisible_signs(
    project: ProjectRef, name: str, cell: str
) -> None:
    make_task(project, name)

    found = "".join(exports.export_csv(Selection([project], Filters())))

    [row] = csv.DictReader(io.StringIO(found[1:], newline=""))
    assert row["name"] == cell


def test_json_lines_hold_every_task(
    exported: list[ProjectRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "PAGE_SIZE", 2)

    parts = list(exports.export_json_lines(Selection(exported, Filters())))

    assert len(parts) == 2
    found = [json.loads(line) for line in "".join(parts).splitlines()]
    assert [one["name"] for one in found] == ["=cmd|' /C calc'!A0", 'a "b", c\nd', "-2"]
    assert found[1]["tags"] == {"b": "é", "env": "prod"}
    assert list(found[0]) == [*exports.COLUMNS, "data"]


def test_export_holds_only_what_matches(exported: list[ProjectRef]) -> None:
    parts = exports.export_json_lines(Selection(exported, Filters(status=("success",))))

    assert [json.loads(part)["name"] for part in parts] == ["-2"]


def test_json_lines_hold_data_exactly_as_kept(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "DATA_SIZE", 30)
    digits = "9" * 5000
    kept = ['{"a":1.50,\n "token":"x"}', f"[{digits},1e400]", None, '"\\u0000 é"']
    for number, data in enumerate(kept):
        make_task(
            project,
            f"job {number}",
            ago=number,
            data=data,
            max_runtime=60,
            stale_timeout=number + 1,
        )

    parts = list(exports.export_json_lines(Selection([project], Filters(), masked=False)))

    lines = "".join(parts).splitlines()
    assert [line.partition('"data": ')[2] for line in lines] == [
        '{"a":1.50,  "token":"x"}}',
        f"[{digits},1e400]}}",
        "null}",
        '"\\u0000 é"}',
    ]
    assert len(parts) == 3
    first = json.loads(lines[0])
    assert [first[name] for name in ("max_runtime", "stale_timeout", "time_to_start")] == [
        60,
        1,
        None,
    ]


def test_secrets_are_masked_for_those_who_may_not_make_keys(project: ProjectRef) -> None:
    digits = "9" * 5000
    make_task(project, "job", data=f'{{"token":"x","rows":[1,{digits},1e400,2.50]}}')

    [line] = exports.export_json_lines(Selection([project], Filters()))

    rows = [1, digits, "1e400", "2.50"]
    assert line.count("\n") == 1
    assert numbers.read_exactly(line)["data"] == {"token": secrets.MASK, "rows": rows}


def test_export_waits_for_no_writer(exported: list[ProjectRef]) -> None:
    with db.engine.connect() as writer:
        writer.execute(text("UPDATE project SET name = 'renamed'"))

        parts = list(exports.export_json_lines(Selection(exported, Filters())))

    assert len("".join(parts).splitlines()) == 3
