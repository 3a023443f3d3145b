"""What a ping may say, in its query, about the monitor that it makes."""

from collections.abc import Mapping
from typing import Any

from taskbadger.domain.monitors import CRON, INTERVAL
from taskbadger.domain.schedule import MAX_INTERVAL, parse_cron
from taskbadger.domain.zones import check_timezone
from taskbadger.errors import ScheduleError, ValidationFailed
from taskbadger.schemas.body import Members, load
from taskbadger.schemas.fields import INT32_MAX, RequestSchema, Text, WholeNumber, invalid


class ScheduleText(Text):
    """A cron expression."""

    def check(self, text: str) -> str:
        text = super().check(text)
        try:
            parse_cron(text)
        except ScheduleError as error:
            raise invalid(str(error)) from error
        return text


class ZoneText(Text):
    """The name of a time zone."""

    def check(self, text: str) -> str:
        text = super().check(text)
        try:
            check_timezone(text)
        except ScheduleError as error:
            raise invalid(str(error).removeprefix("timezone: ")) from error
        return text


class PingQuery(RequestSchema):
    """The parameters beside ``create=1``, with the limits of a monitor's fields."""

    name = Text(max_length=255, min_length=1)
    schedule = ScheduleText(max_length=255, min_length=1)
    interval = WholeNumber(min_value=60, max_value=MAX_INTERVAL)
    tz = ZoneText(max_length=64, min_length=1)
    grace = WholeNumber(max_value=MAX_INTERVAL)
    max_runtime = WholeNumber(min_value=1, max_value=INT32_MAX)


def read_query(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a monitor that a query has; raises ValidationFailed.

    A schedule or an interval stands for all of the timing, so what is not beside it has its
    default. Without either, only what is there is returned.
    """
    members = Members()
    members.update({name: query[name] for name in PingQuery._declared_fields if name in query})
    sent = load(PingQuery, members)
    if "schedule" in sent and "interval" in sent:
        raise ValidationFailed.one("interval", "Give a schedule or an interval, not both.")
    found: dict[str, Any] = {}
    if "schedule" in sent or "interval" in sent:
        found = {"timezone": "UTC", "start_grace": None, "max_runtime": None}
    if "schedule" in sent:
        found |= {"type": CRON, "schedule": sent["schedule"]}
    if "interval" in sent:
        found |= {"type": INTERVAL, "interval": sent["interval"], "anchor": "start"}
    names = (("name", "name"), ("tz", "timezone"), ("grace", "start_grace"))
    for name, field in (*names, ("max_runtime", "max_runtime")):
        if name in sent:
            found[field] = sent[name]
    return found
