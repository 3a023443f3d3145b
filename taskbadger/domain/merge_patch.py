"""JSON Merge Patch (RFC 7396): how ``data_merge`` changes ``data``."""

from typing import Any

Object = dict[str, Any]


def merge(target: Object, patch: Object) -> Object:
    """Return *target* changed by *patch*: null removes a name, and objects are merged in turn."""
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            inner = merged.get(name)
            merged[name] = merge(inner if isinstance(inner, dict) else {}, value)
        else:
            merged[name] = value
    return merged
