"""Splits a trace into the frames of the user's own code, those of libraries, and other text."""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Literal, NamedTuple

from taskbadger.domain.traces import (
    FOREIGN_GO,
    FOREIGN_JAVA,
    FOREIGN_PYTHON,
    FOREIGN_RUBY,
    JAVA_FRAME,
    NODE_STARTS,
    is_own_node,
)

Kind = Literal["own", "library", "text"]

_PYTHON = re.compile(r'([ |+]*)File "([^"\n]*)", line \d+')
_NODE = re.compile(r"[ \t]{1,16}at (?:[^\n]* \()?([^\n]+?)\)?[ {]*$")
_GO = re.compile(r"\t((?:/|[A-Z]:)[^\n]*):\d+(?: \+0x[0-9a-f]+)?$")
_RUBY = re.compile(r"[ \t]{0,16}(?:\d+: )?from ([^\s:]+):\d+:in ")
_MAX_LINE = 1000
"""Characters of a line that are looked at."""


class Section(NamedTuple):
    """Lines that follow each other."""

    kind: Kind
    text: str
    frames: int
    """0 for other text."""


def split(text: str) -> list[Section]:
    """Split *text*, in time linear in its length; joined by newlines, the sections are the text."""
    sections = []
    for kind, group in groupby(_kinds(text.split("\n")), key=lambda line: line[0]):
        lines = list(group)
        frames = sum(is_first for _, _, is_first in lines) if kind != "text" else 0
        sections.append(Section(kind, "\n".join(line for _, line, _ in lines), frames))
    return sections


def _kinds(lines: list[str]) -> Iterator[tuple[Kind, str, bool]]:
    """Yield the kind of each line, and whether a frame begins with it."""
    kind: Kind = "text"
    indent: int | None = None
    for line in lines:
        python = _PYTHON.match(line)
        if python:
            kind = "library" if FOREIGN_PYTHON.search(python[2][-300:]) else "own"
            indent = len(python[1])
            yield kind, line, True
        elif indent is not None and _indent(line) > indent:
            yield kind, line, False
        else:
            indent = None
            found = _other(line[:_MAX_LINE])
            yield found or "text", line, found is not None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" |+"))


def _other(line: str) -> Kind | None:
    """Return the kind of a line that is a frame of another language than Python."""
    if java := JAVA_FRAME.match(line):
        return "library" if FOREIGN_JAVA.match(java[1]) else "own"
    if NODE_STARTS.search(line[-60:]) and (node := _NODE.match(line)):
        return "own" if is_own_node(node[1]) else "library"
    for pattern, foreign in ((_GO, FOREIGN_GO), (_RUBY, FOREIGN_RUBY)):
        if match := pattern.match(line):
            return "library" if foreign.search(match[1]) else "own"
    return None
