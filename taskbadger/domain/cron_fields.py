"""The fields of a cron expression: splitting them, and refusing what the dialect lacks."""

import re
from datetime import datetime

from cronsim import CronSim, CronSimError

from taskbadger.errors import ScheduleError

MAX_EXPRESSION_LENGTH = 255

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")

_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_NAMES = {
    "month": {name: number for number, name in enumerate(_MONTHS, start=1)},
    "day-of-week": {name: number for number, name in enumerate(_DAYS)},
}
_BOUNDS = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day-of-month": (1, 31),
    "month": (1, 12),
    "day-of-week": (0, 7),
}
_ACCEPTED = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L (the last day) or LW (the last weekday)",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 (0 and 7 are Sunday), SUN to SAT, 5L (the last Friday) or "
    "MON#1 (the first Monday)",
}
_RANGE = re.compile(r"([0-9]{1,2}|[A-Z]{3})-([0-9]{1,2}|[A-Z]{3})(/[0-9]+)?")
_WORD = re.compile(r"[A-Z]{3}")
# What every cron daemon understands: a step only after * or a range.
_CRONTAB_TERM = re.compile(r"(\*|[0-9]+-[0-9]+)(/[0-9]+)?|[0-9]+")
# The longest gap between matching dates is 40 years (29 February on a Sunday, around 2100). cronsim
# looks 50 years ahead, so a schedule without a run from here never runs.
SOME_MONDAY = datetime(2001, 1, 1)  # noqa: DTZ001 - a wall clock


def read_fields(expression: str) -> list[str]:
    """Return the five checked fields of an expression or an alias; raises ScheduleError."""
    fields = _split(expression)
    for name, text in zip(FIELDS, fields, strict=True):
        _check_field(name, text)
    _check_has_a_date(fields)
    return fields


def in_crontab(expression: str) -> str | None:
    """Return an expression in the syntax of any cron daemon; None if there is none, as for LW."""
    texts = expression.upper().split()
    fields = [_without_names(*field) for field in zip(FIELDS, texts, strict=True)]
    terms = [term for text in fields for term in text.split(",")]
    return " ".join(fields) if all(map(_CRONTAB_TERM.fullmatch, terms)) else None


def _split(expression: str) -> list[str]:
    if len(expression) > MAX_EXPRESSION_LENGTH:
        raise ScheduleError(f"The schedule is longer than {MAX_EXPRESSION_LENGTH} characters.")
    text = expression.strip()
    if text.startswith("@"):
        if text.lower() not in ALIASES:
            raise ScheduleError(f'"{text}" is not valid; use {", ".join(ALIASES)}.')
        text = ALIASES[text.lower()]
    fields = text.split()
    if len(fields) < len(FIELDS):
        raise ScheduleError(
            f"{FIELDS[len(fields)]}: the field is missing; a schedule has five: {' '.join(FIELDS)}."
        )
    if len(fields) > len(FIELDS):
        raise ScheduleError(
            f'field {len(FIELDS) + 1}: "{fields[len(FIELDS)]}" is one too many (seconds and '
            f"years are not supported); a schedule has five: {' '.join(FIELDS)}."
        )
    return fields


def _check_field(name: str, text: str) -> None:
    for term in text.upper().split(","):
        if "?" in term:
            raise ScheduleError(f"{name}: ? is not supported; write * for any.")
        if term.startswith("H"):
            raise ScheduleError(f"{name}: H is not supported; write a number.")
        _check_direction(name, term)
        # upper() turns some other characters into ASCII letters: only text that was ASCII may pass.
        if not text.isascii() or not _is_term(name, term):
            raise ScheduleError(f'{name}: "{term}" is not valid; use {_ACCEPTED[name]}.')


def _check_direction(name: str, term: str) -> None:
    match = _RANGE.fullmatch(term)
    if match is None:
        return
    first, last = _number(name, match[1]), _number(name, match[2])
    low, high = _BOUNDS[name]
    if first is None or last is None or first <= last or not low <= last <= first <= high:
        return
    raise ScheduleError(
        f"{name}: the range {term} runs backwards; "
        f"write {match[1]}-{high},{low}-{match[2]} instead."
    )


def _number(name: str, text: str) -> int | None:
    return int(text) if text.isdigit() else _NAMES.get(name, {}).get(text)


def _without_names(name: str, text: str) -> str:
    return _WORD.sub(lambda match: str(_NAMES.get(name, {}).get(match[0], match[0])), text)


def _is_term(name: str, term: str) -> bool:
    """Say whether *term* alone is valid in the field *name*."""
    fields = ["*" if field != name else term for field in FIELDS]
    try:
        CronSim(" ".join(fields), SOME_MONDAY)
    except CronSimError:
        return False
    return bool(term)


def _check_has_a_date(fields: list[str]) -> None:
    try:
        found = next(CronSim(" ".join(fields), SOME_MONDAY), None)
    except CronSimError:
        found = None
    if found is None:
        _, _, day, month, weekday = fields
        raise ScheduleError(
            f'day-of-month: "{day}" never occurs with month "{month}" and day-of-week "{weekday}".'
        )
