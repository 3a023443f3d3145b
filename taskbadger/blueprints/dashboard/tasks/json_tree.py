"""JSON as a page shows it: a folding tree that has an end, however much there is."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from taskbadger.domain.numbers import Number
from taskbadger.domain.web_links import web_link

MAX_NODES = 1000
MAX_CHARACTERS = 40_000
MAX_MEMBERS = 200
"""Of one object or array."""
MAX_STRING_LENGTH = 5_000
MAX_KEY_LENGTH = 200
MAX_DEPTH = 40
_WORDS = {None: "null", True: "true", False: "false"}


@dataclass(slots=True)
class Node:
    """A value, or what stands for one that is not shown."""

    kind: str
    """``object``, ``array``, ``string``, ``number``, ``word`` or ``deep``."""
    text: str = ""
    key: str | None = None
    """The name or the index that it has in what holds it; None for the root."""
    members: list["Node"] = field(default_factory=list)
    size: int = 0
    """How many members there are."""
    left_out: int = 0
    """How many members, or characters of a string, are not shown."""

    @property
    def link(self) -> str | None:
        """The address that a string is; None for any other."""
        return web_link(self.text) if self.kind == "string" and not self.left_out else None


@dataclass(slots=True)
class Tree:
    """A value with all that is shown of it."""

    root: Node
    is_whole: bool


def make_tree(value: Any) -> Tree:
    """Return the beginning of *value*, depth first."""
    maker = _Maker()
    root = maker.node(value, None, MAX_DEPTH)
    return Tree(root, not maker.has_cut)


class _Maker:
    def __init__(self) -> None:
        self.nodes, self.characters, self.has_cut = MAX_NODES, MAX_CHARACTERS, False

    def node(self, value: Any, key: str | None, depth: int) -> Node:
        self.nodes -= 1
        if key is not None and len(key) > MAX_KEY_LENGTH:
            key, self.has_cut = f"{key[:MAX_KEY_LENGTH]}…", True
        self.characters -= len(key or "")
        if isinstance(value, dict):
            return self._container("object", key, value.items(), len(value), depth)
        if isinstance(value, list):
            numbered = ((str(at), one) for at, one in enumerate(value))
            return self._container("array", key, numbered, len(value), depth)
        if value is None or isinstance(value, bool):
            return Node("word", _WORDS[value], key)
        is_string = isinstance(value, str) and not isinstance(value, Number)
        return self._text("string" if is_string else "number", str(value), key)

    def _text(self, kind: str, text: str, key: str | None) -> Node:
        shown = text[: max(min(MAX_STRING_LENGTH, self.characters), 0)]
        self.characters -= len(shown)
        left_out = len(text) - len(shown)
        self.has_cut |= left_out > 0
        return Node(kind, shown, key, left_out=left_out)

    def _container(
        self, kind: str, key: str | None, items: Iterable[tuple[str, Any]], size: int, depth: int
    ) -> Node:
        made = Node(kind, key=key, size=size)
        if size and not depth:
            self.has_cut = True
            return Node("deep", key=key)
        for name, value in items:
            if len(made.members) == MAX_MEMBERS or self.nodes <= 0 or self.characters <= 0:
                break
            made.members.append(self.node(value, name, depth - 1))
        made.left_out = size - len(made.members)
        self.has_cut |= made.left_out > 0
        return made
