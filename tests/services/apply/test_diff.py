"""The changes that apply prints."""

from taskbadger.domain.changes import no_secret
from taskbadger.services.apply.diff import Change, added, changed, write


def is_token(name: str) -> bool:
    return name == "config.token"


def test_added_subject_has_a_line_for_each_field_that_is_set() -> None:
    fields = {"name": "Ops", "quiet_period": 0, "project": None, "queue": "", "action": []}

    assert added("channel webhook:ops", fields, no_secret) == Change(
        "+", "channel webhook:ops", ("name: Ops", "quiet_period: 0")
    )


def test_secret_of_an_added_subject_is_not_shown() -> None:
    change = added("channel", {"name": "Ops", "config.token": "hidden"}, is_token)

    assert change.fields == ("name: Ops", "config.token: (secret)")


def test_changed_subject_has_a_line_for_each_field_that_differs() -> None:
    before = {"name": "Ops", "interval": 60, "config.token": "old"}
    after = {"name": "Ops", "interval": 300, "config.token": "new"}

    assert changed("monitor web/poll", before, after, is_token) == Change(
        "~", "monitor web/poll", ("interval: 60 → 300", "config.token: (secret) changed")
    )


def test_same_fields_are_no_change() -> None:
    assert changed("monitor", {"name": "poll"}, {"name": "poll"}, no_secret) is None


def test_changes_are_printed_with_their_numbers() -> None:
    changes = [
        Change("+", "channel webhook:ops", ("name: Ops",)),
        Change("~", "monitor web/poll", ("interval: 60 → 300", "timezone: UTC → Asia/Tokyo")),
        Change("~", "monitor web/nightly", ("name: a → b",)),
        Change("-", "global action errors"),
    ]

    assert write(changes) == (
        "+ channel webhook:ops\n"
        "    name: Ops\n"
        "~ monitor web/poll\n"
        "    interval: 60 → 300\n"
        "    timezone: UTC → Asia/Tokyo\n"
        "~ monitor web/nightly\n"
        "    name: a → b\n"
        "- global action errors\n"
        "1 added, 2 changed, 1 removed"
    )


def test_kinds_without_changes_are_not_counted() -> None:
    assert write([Change("-", "channel webhook:ops")]) == "- channel webhook:ops\n1 removed"
