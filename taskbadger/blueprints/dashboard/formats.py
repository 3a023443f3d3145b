"""How times, spans and numbers read on a page."""

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from flask import Flask

from taskbadger.blueprints.dashboard.tasks.json_tree import make_tree
from taskbadger.clock import utcnow
from taskbadger.domain.patterns import in_words

MINUTE, HOUR, DAY = 60, 3600, 86400
UNITS = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (1, "s"))
RUN_TIME_UNITS = (
    (1, 0.001, "ms"),
    (MINUTE, 1, "s"),
    (HOUR, MINUTE, "min"),
    (2 * DAY, HOUR, "h"),
    (None, DAY, "d"),
)
"""Below how many seconds a run time is in which unit; None: any number."""
NONE = "–"
TIME_WORDS = {
    "now": "just now",
    "past": "{} ago",
    "future": "in {}",
    "none": NONE,
    "units": UNITS,
    "runTimes": RUN_TIME_UNITS,
}
"""What times.js needs to write times as this module does; each page carries it."""


def relative(moment: datetime, *, now: datetime) -> str:
    """Return *moment* as seen from *now*: ``4 min ago``, ``in 2 h``, ``just now``."""
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 1:
        return str(TIME_WORDS["now"])
    size, name = next(unit for unit in UNITS if abs(seconds) >= unit[0])
    text = f"{int(abs(seconds) // size)} {name}"
    return str(TIME_WORDS["past" if seconds > 0 else "future"]).format(text)


def relative_now(moment: datetime) -> str:
    """Return *moment* as seen from now."""
    return relative(moment, now=utcnow())


def absolute(moment: datetime) -> str:
    """Return *moment* to the second, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def time_of_day(moment: datetime) -> str:
    """Return the time of day of *moment* in UTC; with seconds only where there are any."""
    utc = moment.astimezone(UTC)
    return utc.strftime("%H:%M:%S" if utc.second else "%H:%M")


def machine(moment: datetime) -> str:
    """Return *moment* as a time element's ``datetime`` wants it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(span: timedelta | float | None) -> str:
    """Return a span, given as such or in seconds, in its two largest units; a dash for None."""
    if span is None:
        return NONE
    seconds = span.total_seconds() if isinstance(span, timedelta) else float(span)
    if seconds < 0:
        return f"−{duration(-seconds)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for (large, name), (small, small_name) in pairwise(UNITS):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{whole} s"


def elapsed(since: datetime) -> str:
    """Return the time from *since* until now, in whole seconds; clock.js keeps it current."""
    seconds = max(int((utcnow() - since).total_seconds()), 0)
    return duration(seconds) if seconds >= MINUTE else f"{seconds} s"


def about(seconds: float | None) -> str:
    """Return a run time from counts that are true within 5 %, in two digits; a dash for None."""
    return NONE if seconds is None else f"≈ {two_digits(seconds)}"


def two_digits(seconds: float) -> str:
    """Return a run time in two digits: ``3.8 min``."""
    _, size, name = next(unit for unit in RUN_TIME_UNITS if unit[0] is None or seconds < unit[0])
    return f"{float(f'{seconds / size:.2g}'):,g} {name}"


def count(number: int) -> str:
    """Return a number short enough for a tab: ``950``, ``12.3k``, ``4.1M``."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= max(size, 10_000):
            return f"{number / size:.1f}{letter}"
    return f"{number:,}"


_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Characters that draw nothing, though they are letters and symbols."""
_UNSEEN = ("Cc", "Cf", "Cn", "Zl", "Zp", "Zs")


def visible(name: str) -> str:
    """Return *name*, or words for one that nobody would see."""
    if any(
        unicodedata.category(character) not in _UNSEEN and character not in _BLANK
        for character in name
    ):
        return name
    points = " ".join(f"U+{ord(character):04X}" for character in name[:4])
    return f"(invisible: {points}{' …' if len(name) > 4 else ''})"


def actor(event: Any) -> str:
    """Return who made a change, of a row of the history."""
    if event.actor_type == "server":
        return "the server"
    return f"key “{event.actor_name}”" if event.actor_type == "key" else str(event.actor_name)


def from_unix(seconds: float) -> datetime:
    """Return the moment that many seconds after 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def points(values: list[float], width: int = 100, height: int = 20) -> str:
    """Return the points of an SVG polyline through *values*, filling *width* by *height*."""
    top = max(values, default=0) or 1
    step = width / max(len(values) - 1, 1)
    return " ".join(
        f"{index * step:.1f},{height - 1 - value / top * (height - 2):.1f}"
        for index, value in enumerate(values)
    )


def failure_bars(failed: list[int], values: list[int]) -> list[tuple[str, str, str]]:
    """Return bars for *failed* below the ``points`` of *values*: x, y and height of each."""
    top, step = max(values, default=0) or 1, 100 / max(len(values) - 1, 1)
    heights = [max(number / top * 18, 2) if number else 0 for number in failed]
    return [
        (f"{min(max(place * step - 2, 0), 96):.1f}", f"{19 - height:.1f}", f"{height:.1f}")
        for place, height in enumerate(heights)
        if height
    ]


# The first that occurs wins: Edge and Opera also say Chrome, and Chrome also says Safari.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("Chrom", "Chrome"),
    ("Safari", "Safari"),
    ("curl", "curl"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def browser(user_agent: str) -> str:
    """Return what a User-Agent header says in words, as ``Firefox on Linux``."""
    name = next((words for part, words in _BROWSERS if part in user_agent), "")
    system = next((words for part, words in _SYSTEMS if part in user_agent), "")
    return " on ".join(filter(None, (name, system))) or user_agent[:60] or "unknown"


def register_formats(app: Flask) -> None:
    """Give the templates these functions as filters."""
    filters: dict[str, Callable[..., object]] = {
        "relative": relative_now,
        "absolute": absolute,
        "time_of_day": time_of_day,
        "machine": machine,
        "duration": duration,
        "about": about,
        "two_digits": two_digits,
        "visible": visible,
        "actor": actor,
        "elapsed": elapsed,
        "name_pattern": in_words,
        "count": count,
        "points": points,
        "failure_bars": failure_bars,
        "browser": browser,
        "from_unix": from_unix,
        "json_tree": make_tree,
    }
    for name, function in filters.items():
        app.add_template_filter(function, name)
    app.jinja_env.globals["time_words"] = TIME_WORDS
