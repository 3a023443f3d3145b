"""The part of a form that says which names of tasks something is about."""

from collections.abc import Mapping
from typing import Any

from marshmallow import post_load

from taskbadger.domain import patterns
from taskbadger.domain.patterns import KINDS, MATCHES
from taskbadger.schemas.fields import Choice, RequestSchema


class NamePatternForm(RequestSchema):
    """How names are compared with what is typed; only the pattern is kept."""

    name_kind = Choice(KINDS)

    @post_load
    def drop_kind(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Leave out what the pattern says already."""
        return {name: value for name, value in data.items() if name != "name_kind"}


def read_pattern(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a submitted comparison; one without a kind is a pattern."""
    kind, text = data.get("name_kind", MATCHES), data.get("name_pattern", "")
    # Names of tasks have no spaces around them.
    pattern = patterns.write(kind, text if kind == MATCHES else text.strip())
    return {"name_kind": kind, "name_pattern": pattern}


def show_pattern(pattern: str) -> dict[str, str]:
    """Return what the fields show of a saved pattern."""
    kind, text = patterns.read(pattern)
    return {"name_kind": kind, "name_pattern": text}
