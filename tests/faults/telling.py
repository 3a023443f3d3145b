"""A trial: names fail and recover while the workers that tell of it are killed."""

import json
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from faults.killing import WRITER, Crew, make_place, make_webhooks, receiver
from flask import Flask
from processes import TIME_LIMIT
from sqlalchemy import func, select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.domain.notification_targets import EscalationStep
from taskbadger.extensions import db
from taskbadger.models import Delivery, Incident, IncidentEvent, IncidentNotice
from taskbadger.models.delivery import DELIVERED
from taskbadger.services.alerts import global_actions
from taskbadger.services.stats import runs
from taskbadger.services.tasks import write

STEPS = (1, 2)
"""Seconds after the first message."""
Seen = tuple[str, str, str]
"""The type of a message, its detail and its channel."""


class Key(NamedTuple):
    """What must arrive under one id only."""

    incident: int
    name: str
    type: str
    detail: str
    """Which step of the escalation, or which kind of failures is new."""
    target: str


@dataclass
class Mailbox:
    """What a receiver has got: for each message the ids under which it came."""

    arrived: dict[Key, list[str]] = field(default_factory=lambda: defaultdict(list))
    pause_seconds: float = 0.005
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, message_id: str, body: Any) -> int:
        """Count a message; return the status to answer."""
        data, incident = body["data"], body["data"]["incident"]
        detail = ""
        if "nobody has acknowledged it for" in data["title"]:
            detail = data["title"].partition(" for ")[2].partition(":")[0]
        if body["type"] == "task.new_failure":
            detail = data["failure"]["title"]
        target = data["action"]["integration"]
        key = Key(incident["id"], incident["name"], body["type"], detail, target)
        with self._lock:
            self.arrived[key].append(message_id)
        return 204

    def messages_of(self, name: str) -> set[Seen]:
        """Return what arrived about the incidents of a name."""
        with self._lock:
            return {(key.type, key.detail, key.target) for key in self.arrived if key.name == name}


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a trial."""

    kills: int
    incidents: int
    messages: int
    repeated: int
    """Messages that arrived more than once, under one id."""
    torn: set[Key]
    """Messages that arrived under several ids."""
    missing: set[tuple[object, ...]]
    """What was due and no receiver got."""
    unknown: set[str]
    """The ids of what a receiver got although it was not delivered."""
    uncounted: Counter[tuple[int, str]]
    """By incident and kind of entry: how much more, or less, a timeline has than the receiver."""
    patient: int
    """Incidents that were left open until all steps and a new kind of failures had come."""
    still_open: int
    """Incidents that did not close, notices that stayed due, and deliveries that were not made."""


def run_trial(
    app: Flask,
    commands: list[tuple[str, ...]],
    variables: dict[str, str],
    folder: Path,
    *,
    kills: int,
    names: int = 20,
    seconds_between_kills: float = 1.0,
) -> Told:
    """Let names fail and recover until enough workers were killed; return what was told."""
    mailbox = Mailbox()
    with ExitStack() as stack:
        address = stack.enter_context(receiver(mailbox))  # type: ignore[arg-type]  # same methods
        with app.app_context():
            project = make_place()
            [first, *others] = make_webhooks(project, address, 1 + len(STEPS))
            _watch(project, first, others)
        crew = stack.enter_context(Crew(commands, variables, folder))
        stopping = threading.Event()
        threads = [
            threading.Thread(target=_fail_and_recover, args=(app, project, number, names, stopping))
            for number in range(4)
        ]
        patient: list[str] = []
        arguments = (app, project, mailbox, patient, stopping)
        threads += [threading.Thread(target=_fail_patiently, args=arguments) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(kills):
            time.sleep(random.uniform(0.5, 1.5) * seconds_between_kills)
            crew.kill_one()
        stopping.set()
        for thread in threads:
            thread.join()
        with app.app_context():
            # What the dead left behind grows with their number.
            still_open = _wait(time.monotonic() + 90 + kills)
            found = _result_of(mailbox, crew, patient, still_open)
            db.session.remove()
            db.engine.dispose()
            return found


def _watch(project: ProjectRef, first: str, others: list[str]) -> None:
    steps: list[EscalationStep] = [
        {"after": after, "channels": [{"integration": integration, "config": {}}]}
        for after, integration in zip(STEPS, others, strict=True)
    ]
    global_actions.create_global_action(
        project.organization_id,
        {
            "name": "watch",
            "mode": "incident",
            "trigger": "error",
            "channels": [{"integration": first, "config": {}}],
            "escalation": steps,
        },
        actor=SERVER,
        now=utcnow(),
    )
    db.session.commit()


def _fail_and_recover(
    app: Flask, project: ProjectRef, number: int, names: int, stopping: threading.Event
) -> None:
    chance = random.Random(number)
    while not stopping.is_set():
        name = f"job {number} {chance.randrange(names)}"
        for _ in range(chance.randint(1, 4)):
            _end(app, project, name, "error", f"fault {chance.choice('abc')}")
            time.sleep(chance.uniform(0, 0.4))
        time.sleep(chance.choice([0, 0.5, 1.5, 2.5]))
        _end(app, project, name, "success")


def _fail_patiently(
    app: Flask, project: ProjectRef, mailbox: Mailbox, names: list[str], stopping: threading.Event
) -> None:
    """Let one name after the other fail in two ways; each recovers when all was told."""
    while not stopping.is_set():
        name = f"patient {uuid4().hex}"
        names.append(name)
        _end(app, project, name, "error", "first fault")
        deadline = time.monotonic() + TIME_LIMIT
        _await(lambda name=name: bool(mailbox.messages_of(name)), deadline)
        _end(app, project, name, "error", "second fault")
        _await(lambda name=name: _told_while_open() <= mailbox.messages_of(name), deadline)
        _end(app, project, name, "success")


def _await(is_done: Callable[[], bool], deadline: float) -> None:
    while not is_done() and time.monotonic() < deadline:
        time.sleep(0.05)


def _told_while_open() -> set[Seen]:
    """Return what is told of an incident with two kinds of failures until all steps were taken."""
    steps = {
        ("task.reminder", f"{after} s", f"webhook:hook{number}")
        for number, after in enumerate(STEPS, 1)
    }
    first = {("task.failing", "", "webhook:hook0")}
    return first | steps | {("task.new_failure", "second fault", "webhook:hook0")}


def _end(app: Flask, project: ProjectRef, name: str, status: str, error: str = "") -> None:
    with app.app_context():
        data = json.dumps({"exception": error}) if error else None
        values = {"name": name, "status": status, "data": data}
        write.create_task(project, values, now=utcnow(), actor=WRITER)
        db.session.commit()
        db.session.remove()


def _wait(deadline: float) -> int:
    """Wait until all of the history is followed, and nothing is left to do; return what is."""
    while True:
        left = sum(
            db.session.scalar(select(func.count()).select_from(table).where(condition)) or 0
            for table, condition in (
                (Incident, Incident.closed_at.is_(None)),
                (IncidentNotice, IncidentNotice.next_at.is_not(None)),
                (Delivery, Delivery.state != DELIVERED),
            )
        )
        left += runs.counted_until() is not None
        db.session.rollback()
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)


def _result_of(mailbox: Mailbox, crew: Crew, patient: list[str], still_open: int) -> Told:
    arrived = mailbox.arrived
    delivered = set(db.session.scalars(select(Delivery.id).where(Delivery.state == DELIVERED)))
    received = {message_id for ids in arrived.values() for message_id in ids}
    entries = _entries_of_timelines()
    told = _entries_told_by(arrived)
    return Told(
        kills=crew.kills,
        incidents=db.session.scalar(select(func.count()).select_from(Incident)) or 0,
        messages=entries.total(),
        repeated=sum(len(found) > len(set(found)) for found in arrived.values()),
        torn={key for key, found in arrived.items() if len(set(found)) > 1},
        missing=_missing_of_patient(mailbox, patient)
        | (_expected_of_all(arrived) - set(arrived))
        | {("delivery", number) for number in delivered - received},
        unknown=received - delivered,
        uncounted=(entries - told) + (told - entries),
        patient=len(patient),
        still_open=still_open,
    )


def _missing_of_patient(mailbox: Mailbox, names: list[str]) -> set[tuple[object, ...]]:
    channels = [f"webhook:hook{number}" for number in range(1 + len(STEPS))]
    expected = _told_while_open() | {("task.recovered", "", channel) for channel in channels}
    return {(name, *message) for name in names for message in expected - mailbox.messages_of(name)}


def _expected_of_all(arrived: Iterable[Key]) -> set[Key]:
    """Return the first message of each incident, and the last one to all who were told."""
    incidents = db.session.execute(select(Incident.id, Incident.name)).all()
    first = {Key(row.id, row.name, "task.failing", "", "webhook:hook0") for row in incidents}
    told = first | set(arrived)
    return first | {key._replace(type="task.recovered", detail="") for key in told}


def _entries_of_timelines() -> Counter[tuple[int, str]]:
    event = IncidentEvent
    query = select(event.incident_id, event.kind).where(event.kind.in_(("told", "escalated")))
    return Counter((row.incident_id, row.kind) for row in db.session.execute(query))


def _entries_told_by(arrived: Iterable[Key]) -> Counter[tuple[int, str]]:
    """Return how many entries timelines must have: one for all channels of a message."""
    messages = {key._replace(target="") for key in arrived}
    return Counter(
        (key.incident, "escalated" if key.type == "task.reminder" else "told") for key in messages
    )
