"""The part of a form with the steps of an escalation: after how long, and whom to tell."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from marshmallow import ValidationError

from taskbadger.blueprints.dashboard.alerts import channel_picker
from taskbadger.blueprints.dashboard.alerts.channel_picker import Box, Known
from taskbadger.blueprints.dashboard.forms import Form
from taskbadger.domain.notification_targets import EscalationStep
from taskbadger.errors import ValidationFailed
from taskbadger.schemas.durations import TypedDuration, write_optional
from taskbadger.schemas.fields import field_errors
from taskbadger.schemas.global_actions import MAX_STEP_SECONDS
from taskbadger.services.alerts.global_actions import MAX_STEPS

FIELD = "escalation"
_AFTER = TypedDuration(min_value=1, max_value=MAX_STEP_SECONDS)


@dataclass(frozen=True, slots=True)
class ShownStep:
    """A step as the form shows it."""

    number: int
    prefix: str
    """What the names of its fields begin with."""
    after: str
    boxes: Sequence[Box]
    addresses: str
    is_used: bool


@dataclass(slots=True)
class TypedSteps:
    """The steps that somebody has filled in, and the number of each in the form."""

    steps: list[EscalationStep] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def add_errors(self, form: Form, error: ValidationFailed) -> ValidationFailed | None:
        """Add what a service says of the steps to the form; return what it says of the rest."""
        rest = []
        for each in error.errors:
            name, _, place = (each.attr or "").partition(".")
            index, _, part = place.partition(".")
            if name != FIELD:
                rest.append(each)
            elif not index.isdigit():
                form.add(ValidationFailed.one(f"{_prefix(1)}after", each.detail, each.code))
            elif part == "after":
                number = self.numbers[int(index)]
                form.add(ValidationFailed.one(f"{_prefix(number)}after", each.detail, each.code))
            else:
                channel_picker.add_errors(
                    form,
                    ValidationFailed([each]),
                    f"{FIELD}.{index}.channels",
                    self.steps[int(index)]["channels"],
                    prefix=_prefix(self.numbers[int(index)]),
                )
        return ValidationFailed(rest) if rest else None


def _prefix(number: int) -> str:
    return f"step-{number}-"


def list_steps(form: Form, saved: Sequence[EscalationStep], known: Known) -> list[ShownStep]:
    """Return all steps of the form, filled in or not."""
    return [_shown(form, number, saved[number - 1 : number], known) for number in _numbers()]


def _numbers() -> range:
    return range(1, MAX_STEPS + 1)


def _shown(form: Form, number: int, saved: Sequence[EscalationStep], known: Known) -> ShownStep:
    prefix = _prefix(number)
    channels = saved[0]["channels"] if saved else []
    after = write_optional(saved[0]["after"] if saved else None)
    return ShownStep(
        number=number,
        prefix=prefix,
        after=form.typed.get(f"{prefix}after", after),
        boxes=channel_picker.list_boxes(form, channels, known, prefix=prefix),
        addresses=channel_picker.saved_addresses(channels),
        is_used=_is_used(form, prefix) if form.typed else bool(saved),
    )


def _is_used(form: Form, prefix: str) -> bool:
    """Say whether anything of a step is filled in."""
    return any(value.strip() for name, value in form.typed.items() if name.startswith(prefix))


def read_steps(form: Form, saved: Sequence[EscalationStep] = ()) -> TypedSteps:
    """Return the steps that are filled in; what is wrong with them are errors of the form."""
    typed = TypedSteps()
    for number in _numbers():
        prefix = _prefix(number)
        if not _is_used(form, prefix):
            continue
        kept = saved[number - 1]["channels"] if number <= len(saved) else ()
        targets = channel_picker.read_targets(form, kept, prefix=prefix)
        after = _read_after(form, f"{prefix}after")
        if after is not None and f"{prefix}{channel_picker.ADDRESSES}" not in form.errors:
            typed.steps.append({"after": after, "channels": targets})
            typed.numbers.append(number)
    return typed


def _read_after(form: Form, name: str) -> int | None:
    try:
        after: int = _AFTER.deserialize(form.typed.get(name, ""))
    except ValidationError as error:
        for each in field_errors(error.messages):
            form.add(ValidationFailed.one(name, each.detail, each.code))
        return None
    return after
