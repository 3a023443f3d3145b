"""What a search finds in ``data``: the same on both databases."""

import json

import pytest
from services.tasks.searching import found_names, make_task

from taskbadger.domain.identity import ProjectRef

DATA = {
    "a": '{"customer": 42, "order": {"id": 7, "paid": true}, "note": null}',
    "b": '{"customer": "42", "order": {"id": "7"}, "note": "null"}',
    "c": '{"customer": 42.0, "order": [7], "a.b": "x"}',
    "d": '{"customer": 4.2e1, "order": 7, "a": {"b": "y"}}',
    "e": '{"customer": 43, "paid": false, "file": "Import.csv"}',
    "f": '{"customer": 9007199254740993, "k\\u00e9y": "\\u00dcber \\ud83d\\udca5"}',
    "g": '{"customer": 9007199254740992, "file": "a,b:c"}',
    "h": '[{"customer": 42}]',
    "i": '"customer"',
    "j": "42",
    "k": "null",
    "l": '{"customer": 42, "nul": "a\\u0000b"}',
    "o": '{"cus\\u0074omer": 44}',
    "m": '{"customer": 1e400, "big": 123456789012345678901234567890}',
    "n": '{"customer": -0, "customer": 5, "say \\"x\\"": "q\\\\r"}',
}


@pytest.fixture
def tasks(project: ProjectRef) -> ProjectRef:
    for name, data in DATA.items():
        make_task(project, name, data=data, status="error" if name in "ab" else "success")
    make_task(project, "z")
    return project


@pytest.mark.parametrize(
    ("search", "names"),
    [
        ("data.customer:42", "abcd"),
        ('data.customer:"42"', "b"),
        ("data.customer:42.0", "acd"),
        ("data.customer:4.2e1", "acd"),
        ("data.customer:43,5", "en"),
        ("data.customer:0", "n"),
        ("data.customer:44", "o"),
        ("data.customer:9007199254740993", "f"),
        ("data.customer:9007199254740992", "g"),
        ("data.customer:1e400", ""),
        ("data.big:123456789012345678901234567890", "m"),
        ("data.customer:*", "abcdefgmno"),
        ("data.customer:4*", "b"),
        ("data.order.id:7", "ab"),
        ("data.order.paid:true", "a"),
        ("data.order.paid:false", ""),
        ("data.paid:false", "e"),
        ("data.note:null", "ab"),
        ('data.note:"null"', "b"),
        ("data.note:*", "ab"),
        ("data.order:7", "d"),
        ("data.order:*", "abcd"),
        ('data."a.b":x', "c"),
        ("data.a.b:y", "d"),
        ("data.file:import*", "e"),
        ("data.file:Import.csv", "e"),
        ("data.file:import.csv", ""),
        ('data.file:"a,b:c"', "g"),
        ("data.kéy:*", "f"),
        ('data.kéy:"Über 💥"', "f"),
        ('data."say ""x""":q\\r', "n"),
        ("data.nul:*", ""),
        ("data.0:*", ""),
        ("data.customer:42 status:error", "ab"),
        ("data.customer:42 data.order.id:7 -data.order.paid:*", "b"),
        ("-data.customer:*", "hijklz"),
    ],
)
def test_values_are_found(tasks: ProjectRef, search: str, names: str) -> None:
    assert "".join(sorted(found_names([tasks], search))) == names


def test_data_of_more_than_16384_characters_is_not_searched(project: ProjectRef) -> None:
    data = json.dumps({"customer": 42}).ljust(16_384)
    make_task(project, "small", data=data)
    make_task(project, "large", data=data + " ")

    assert found_names([project], "data.customer:42") == ["small"]


def test_tags_are_walked_and_data_is_checked_on_what_has_them(project: ProjectRef) -> None:
    for customer in (42, 43):
        data = json.dumps({"customer": customer})
        make_task(project, f"of {customer}", data=data, tags={"env": "prod"})

    assert found_names([project], "tag:env:prod data.customer:42") == ["of 42"]
