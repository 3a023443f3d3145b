"""Keys of messages about incidents, and those of the messages before them."""

from uuid import UUID

import pytest

from taskbadger.schemas.monitors import MAX_TARGETS
from taskbadger.services.delivery import incident_keys

MONITOR = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def test_keys_name_who_tells_of_which_incident_to_which_target() -> None:
    # Keys of messages that wait while the server is upgraded: they must stay as they are.
    assert incident_keys.of_monitor("monitor_recovered", MONITOR, 7, 2) == (
        "monitor_recovered 01890a5d-ac96-774b-bcce-b302099a8057 7 2"
    )
    assert incident_keys.of_notice(7, 3, 2, 1) == "incident 7 3 2 1"


def test_before_the_recovery_of_a_monitor_each_target_was_told_that_it_fails() -> None:
    failing = [
        f"monitor_failing 01890a5d-ac96-774b-bcce-b302099a8057 7 {place}"
        for place in range(MAX_TARGETS)
    ]

    recovered = incident_keys.of_monitor("monitor_recovered", MONITOR, 7, 2)
    assert incident_keys.of_failing(MONITOR, 7) == failing
    assert incident_keys.earlier(recovered) == failing


def test_before_a_message_of_a_notice_are_those_with_lower_numbers() -> None:
    assert incident_keys.earlier("incident 7 3 2 1") == [
        f"incident 7 3 {number} {place}" for number in (0, 1) for place in range(MAX_TARGETS)
    ]


def test_very_many_messages_before_one_are_not_looked_up() -> None:
    assert len(incident_keys.earlier(incident_keys.of_notice(7, 3, 100, 0))) == 100 * MAX_TARGETS
    assert incident_keys.earlier(incident_keys.of_notice(7, 3, 101, 0)) == []


@pytest.mark.parametrize(
    "key", ["", incident_keys.of_monitor("monitor_failing", MONITOR, 7, 0), "rule 1 email 5"]
)
def test_nothing_is_earlier_than_the_first_message_and_others(key: str) -> None:
    assert incident_keys.earlier(key) == []
