"""Takes check-ins: sets their monitors up as they say, and records the runs."""

import logging
from dataclasses import replace
from typing import Any

from flask import request

from taskbadger.blueprints.api import base_url
from taskbadger.blueprints.doors.sentry_answers import Outcome
from taskbadger.clock import utcnow
from taskbadger.domain.check_ins import (
    DEFAULTS,
    BadCheckIn,
    BadConfig,
    CheckIn,
    read_check_in,
    settings_of,
)
from taskbadger.domain.envelopes import Envelope, read_json
from taskbadger.domain.identity import Access, Actor, ProjectRef
from taskbadger.domain.pings import ENDS, Sent, Signal
from taskbadger.errors import NotFound, Throttled, ValidationFailed
from taskbadger.extensions import retried, transaction
from taskbadger.process import current_process
from taskbadger.services.pings import monitors
from taskbadger.services.pings.check_ins import find_end, keep_end, receive_check_in
from taskbadger.services.pings.monitors import Pinged

log = logging.getLogger(__name__)


def take_all(access: Access, envelope: Envelope) -> Outcome:
    """Take the check-ins of an envelope."""
    found: list[Any] = []
    for payload in envelope.check_ins:
        try:
            found.append(read_json(payload))
        except ValueError:
            found.append(None)
    return take(access, found)


def take(access: Access, sent: list[Any]) -> Outcome:
    """Take check-ins, each for itself: one that is wrong is named in the outcome, and logged."""
    outcome = Outcome([])
    for found in sent:
        try:
            problems = _take_one(access, read_check_in(found))
        except BadCheckIn as error:
            problems = [str(error)]
        except Throttled as error:
            problems = ["rate limited"]
            outcome.wait = max(outcome.wait, error.retry_after)
        for problem in problems:
            slug = found.get("monitor_slug") if isinstance(found, dict) else None
            log.warning("check-in dropped", extra={"monitor": str(slug)[:100], "reason": problem})
        outcome.problems += problems
    return outcome


def _take_one(access: Access, check_in: CheckIn) -> list[str]:
    """Take a check-in, and set its monitor up as it says; return what was wrong with it."""
    project, actor = access.project, access.actor
    if project is None:  # `admit` lets no such key in.
        raise NotFound
    problems = []
    pinged = before = monitors.find_by_slug(project, check_in.slug)
    if check_in.config is not None:
        try:
            pinged = _set_up(project, check_in, pinged, actor)
        except BadConfig as error:
            problems.append(f"monitor_config: {error}")
        except ValidationFailed as error:
            problems.append(f"monitor_config: {error.detail}")
        except NotFound:
            pinged = None  # It was deleted meanwhile.
    sent = _sent(check_in)
    if pinged is None and sent.signal in ENDS:
        with transaction():
            keep_end(project, sent, now=utcnow())
        pinged = monitors.find_by_slug(project, check_in.slug)
    if pinged is None:
        return [*problems, "there is no such monitor"]
    if not _receive(pinged, sent, actor) and sent.signal in ENDS:
        problems.append("the check-in is finished")
    elif before is None and sent.signal is Signal.START:
        _end_at_once(project, pinged, sent, actor)
    return problems


def _end_at_once(project: ProjectRef, pinged: Pinged, sent: Sent, actor: Actor) -> None:
    """End the first run of a monitor if its end came before the monitor was there."""
    end = find_end(project, sent.run_id) if sent.run_id else None
    if end is not None:
        _receive(pinged, replace(sent, signal=end), actor)


def _set_up(
    project: ProjectRef, check_in: CheckIn, pinged: Pinged | None, actor: Actor
) -> Pinged | None:
    """Make a monitor, or change one that pings have set up; raises BadConfig, ValidationFailed."""
    settings = settings_of(check_in.config or {})
    if pinged is not None and monitors.has_settings(pinged, settings):
        return pinged

    def save() -> None:
        now = utcnow()
        with transaction():
            if pinged is None:
                wanted = {"name": check_in.slug, **DEFAULTS, **settings}
                monitors.make_monitor(project, check_in.slug, now=now, actor=actor, settings=wanted)
            else:
                monitors.retime_monitor(pinged, settings, now=now, actor=actor)

    try:
        retried(save)
    except (NotFound, ValidationFailed):
        found = monitors.find_by_slug(project, check_in.slug)
        if pinged is not None or found is None:
            raise
        return found  # Another request was faster.
    return monitors.find_by_slug(project, check_in.slug)


def _sent(check_in: CheckIn) -> Sent:
    return Sent(
        signal=check_in.signal,
        run_id=check_in.id,
        environment=check_in.environment,
        duration=check_in.duration,
        scheme=request.scheme,
        method=request.method,
        address=(request.remote_addr or "")[:45],
        user_agent=request.user_agent.string,
    )


def _receive(pinged: Pinged, sent: Sent, actor: Actor) -> bool:
    """Record a check-in; return False if its run was over."""
    limit = current_process().settings.PING_LIMIT

    def record() -> bool:
        with transaction():
            return receive_check_in(
                pinged, sent, now=utcnow(), actor=actor, base_url=base_url(), limit=limit
            )

    return retried(record)
