"""Reads the file for ``taskbadger-server apply``: YAML, with the line of every field."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import yaml
from marshmallow import ValidationError

from taskbadger.errors import FieldError, TaskBadgerError
from taskbadger.schemas.apply import SECTIONS
from taskbadger.schemas.fields import field_errors

Path = tuple[str | int, ...]
"""The place of a value in the file: keys of mappings and positions in lists."""

Entry = dict[str, Any]
"""An entry of a section, loaded by its schema."""

_VARIABLE = re.compile(r"\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)\}")
_MAX_DEPTH = 20
_MIN_MASKED = 4


class FileError(TaskBadgerError):
    """The file cannot be applied. The text names each line and field."""

    def __init__(self, problems: Iterable[str]) -> None:
        super().__init__("\n".join(["nothing was changed:", *problems]))


@dataclass
class Document:
    """A file that was read."""

    name: str
    content: dict[str, object] = field(default_factory=dict)
    lines: dict[Path, int] = field(default_factory=dict)
    secrets: dict[Path, str] = field(default_factory=dict)
    """The values that came from the environment, by their place."""

    def problem(self, path: Path, detail: str) -> str:
        """Return a line with the place and the problem; values from the environment are masked."""
        for secret in self.secrets.values():
            if len(secret) >= _MIN_MASKED:
                detail = detail.replace(secret, "***")
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        where = ".".join(map(str, path))
        return f"{self.name}:{self.lines.get(known, 1)}: {where + ': ' if where else ''}{detail}"

    def problems(self, path: Path, errors: Iterable[FieldError]) -> Iterator[str]:
        """Yield a line for each error of the entry at *path*."""
        for error in errors:
            parts = error.attr.split(".") if error.attr else []
            below = tuple(int(part) if part.isdigit() else part for part in parts)
            yield self.problem((*path, *below), error.detail)

    def is_secret(self, path: Path) -> bool:
        """Say whether any value at or below *path* came from the environment."""
        return any(place[: len(path)] == path for place in self.secrets)


def read(text: bytes, name: str, environ: Mapping[str, str]) -> Document:
    """Read a file, with ``${NAME}`` replaced from *environ*; raises FileError."""
    document = Document(name)
    reader = _Reader(document, environ)
    try:
        reader.loader = _Loader(text)
        node = reader.loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise FileError([f"{name}:{line}: not YAML: {error.problem}"]) from error
    except yaml.YAMLError as error:
        raise FileError([f"{name}:1: not YAML: {error}"]) from error
    content = reader.read(node, ()) if node is not None else {}
    if isinstance(content, dict):
        document.content = content
    else:
        reader.problems.append(document.problem((), f"Expected {', '.join(SECTIONS)}."))
    if reader.problems:
        raise FileError(reader.problems)
    return document


class _Loader(yaml.SafeLoader):
    """Loads the standard types of YAML except dates, which the fields of our schemas parse."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML has it
        first: [(tag, regexp) for tag, regexp in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _Reader:
    loader: _Loader

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self.document, self.environ = document, environ
        self.problems: list[str] = []

    def read(self, node: yaml.Node, path: Path) -> object:
        """Return the value of *node*; record the line of each of its parts."""
        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if len(path) > _MAX_DEPTH:
            self._complain(path, "Nested too deeply.")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._read_mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(part, (*path, at)) for at, part in enumerate(node.value)]
        return self._read_scalar(node, path)

    def _read_mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in node.value:
            name = str(key.value)
            below = (*path, name)
            self.document.lines[below] = key.start_mark.line + 1
            if name in found:
                self._complain(below, "Duplicate key.")
            found[name] = self.read(value, below)
        return found

    def _read_scalar(self, node: yaml.Node, path: Path) -> object:
        try:
            value = self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self._complain(path, f"This is not a valid value of type {node.tag}.")
            return None
        return self._fill_in(value, path) if isinstance(value, str) else value

    def _fill_in(self, text: str, path: Path) -> str:
        """Replace ``${NAME}``; ``$${NAME}`` stands for a literal ``${NAME}``."""

        def value_of(match: re.Match[str]) -> str:
            escaped, name = match.groups()
            if escaped:
                return match.group()[1:]
            value = self.environ.get(name)
            if value is None:
                self._complain(path, f"The environment variable {name} is not set.")
                return ""
            self.document.secrets[path] = value
            return value

        return _VARIABLE.sub(value_of, text)

    def _complain(self, path: Path, detail: str) -> None:
        self.problems.append(self.document.problem(path, detail))


def load_entries(document: Document) -> dict[str, list[Entry]]:
    """Return the valid entries of each section that the file has; raises FileError."""
    problems = [
        document.problem((name,), f"Expected one of: organization, {', '.join(SECTIONS)}.")
        for name in document.content
        if name not in SECTIONS and name != "organization"
    ]
    sections: dict[str, list[Entry]] = {}
    for name in SECTIONS:
        if name in document.content:
            sections[name] = list(_load_section(document, name, problems))
    if problems:
        raise FileError(problems)
    return sections


def _load_section(document: Document, section: str, problems: list[str]) -> Iterator[Entry]:
    entries = document.content[section]
    if entries is None:
        return
    if not isinstance(entries, list):
        problems.append(document.problem((section,), "Expected a list."))
        return
    seen: set[tuple[str, ...]] = set()
    for at, entry in enumerate(entries):
        path = (section, at)
        try:
            loaded: Entry = SECTIONS[section].load(cast(Entry, _expand_channels(entry)))
        except ValidationError as error:
            problems += document.problems(path, field_errors(error.messages))
            continue
        name = identity(section, loaded)
        if name in seen:
            problems.append(document.problem(path, f"{' '.join(name)} is in the file twice."))
        seen.add(name)
        yield loaded


def identity(section: str, entry: Entry) -> tuple[str, ...]:
    """Return the values that identify an entry in its section."""
    return tuple(entry[name] for name in _IDENTITIES.get(section, ("name",)))


_IDENTITIES = {
    "projects": ("slug",),
    "channels": ("integration",),
    "monitors": ("project", "name"),
}
"""The fields that identify entries; of other sections, the name does."""


def _expand_channels(entry: object) -> object:
    """Return *entry* with channels given only by name in the form that the API takes."""
    if not isinstance(entry, dict):
        return entry
    return {
        name: [_EXPAND[name](part) for part in value]
        if name in _EXPAND and isinstance(value, list)
        else value
        for name, value in entry.items()
    }


def _expand_channel(value: object) -> object:
    return {"integration": value} if isinstance(value, str) else value


_EXPAND: dict[object, Callable[[object], object]] = {
    "channels": _expand_channel,
    "action": _expand_channel,
    "escalation": _expand_channels,
}
"""What the parts of a list in an entry are expanded with, by the name of the list."""
