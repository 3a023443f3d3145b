"""Reads the traces of Python, Node, Java, Go and Ruby: the exception, and the user's own frame.

Every reader takes time linear in the length of the text: a frame is looked for from its end, and
no pattern has nested quantifiers.
"""

import re
from collections.abc import Callable, Iterator
from itertools import islice, zip_longest
from typing import NamedTuple


class Frame(NamedTuple):
    """A place in the user's own code."""

    file: str
    """The name of the file without its path."""
    function: str = ""


class Failure(NamedTuple):
    """What a trace says: an exception, where it was raised, and what led to it."""

    type: str = ""
    """The name of the class without its module; empty if the text does not say it."""
    message: str = ""
    frame: Frame | None = None
    """The innermost frame of the user's own code."""
    context: str = ""
    """The class of the exception that caused this one, or of the group that contains it."""


_MAX_BLOCKS = 50
_MAX_FRAMES = 300
"""Frames among which the user's own is looked for."""
_MAX_MESSAGE = 2000
_HEADER = "Traceback (most recent call last):"
_LINKS = ("direct cause of the following exception", "another exception occurred:")
_FILE = re.compile(r'File "([^"\n]*)", line \d+(?:, in (.*))?')
_TYPE = r"[A-Za-z_][\w.<>]*"
_RAISED = re.compile(rf"({_TYPE})(?:: ?(.*))?$")
_GROUP_LINE = re.compile(r"^ *(?:\| ?|\+ )", re.MULTILINE)
_GROUP_PART = re.compile(r"^ *\+[-+ .\d]+$", re.MULTILINE)
_RETRY = re.compile(r"(?:[\w.]*\.)?Retry(?:(?::)? Retry)? (?:in|at) [^\n]*?(?:: ?(\w+)\((.*)\))?$")
FOREIGN_PYTHON = re.compile(
    r"[\\/](?:site|dist)-packages[\\/]|[\\/]lib(?:64)?[\\/](?:python|pypy)[\d.]+[\\/]"
    r"|[\\/]python[\w.-]*[\\/]lib[\\/]|[\\/]lib-python[\\/]|\.egg[\\/]|python\d+\.zip|^<frozen ",
    re.IGNORECASE,
)
_INLINED = ("<listcomp>", "<dictcomp>", "<setcomp>")
"""Comprehensions, which have frames of their own before Python 3.12."""


def read(text: str) -> Failure | None:
    """Return what the trace in *text* says; None if there is no trace."""
    for mark, reader in _READERS:
        if mark in text:
            found = reader(text)
            if found is not None:
                return found
    return None


def read_retry(text: str) -> Failure | None:
    """Return the exception in Celery's ``Retry in 60s: ValueError('x')``."""
    match = _RETRY.match(text)
    if match is None:
        return None
    return Failure(match[1] or "Retry", _argument(match[2] or ""))


def _argument(text: str) -> str:
    """Return the message of an exception, of which *text* is the argument as Python writes it."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace("\\'", "'").replace("\\n", "\n")
    return text


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]


def file_name(path: str) -> str:
    """Return the last part of a path of any system."""
    return re.split(r"[\\/]", path)[-1]


def _python(text: str) -> Failure | None:
    if "Exception Group " + _HEADER in text:
        return _python_group(text)
    _, *blocks = text.split(_HEADER)
    return _python_chain(blocks[-_MAX_BLOCKS:] or [text])


def _python_group(text: str) -> Failure | None:
    """Return the first exception in a group that is not a group itself."""
    parts = _GROUP_PART.split(_GROUP_LINE.sub("", text))
    outer = _python_chain(parts[0].split(_HEADER)[1:][-_MAX_BLOCKS:])
    for part in parts[1:]:
        blocks = part.split(_HEADER)[1:][-_MAX_BLOCKS:]
        inner = _python_chain(blocks) if blocks else _raised(part.strip())
        if inner and not inner.type.endswith("Group"):
            group = outer.type if outer else "ExceptionGroup"
            frame = inner.frame or (outer.frame if outer else None)
            return inner._replace(frame=frame, context=group)
    return outer


def _python_chain(blocks: list[str]) -> Failure | None:
    """Return the last exception of a text; *blocks* are what follows each header."""
    raised: list[Failure] = []
    linked = False
    for block in blocks:
        raised = raised if linked else []
        raised += _python_block(block)
        linked = any(link in block for link in _LINKS)
    return _python_last(raised) if raised else None


def _python_last(raised: list[Failure]) -> Failure:
    """Return the last of several exceptions, from where it was first raised."""
    last = raised[-1]
    if last.type == "Retry" and (retried := read_retry(f"Retry: {last.message}")):
        last = raised[-2] if len(raised) > 1 else retried._replace(frame=last.frame)
        raised = [*raised[:-1], last]
    # Also the place of an exception that another process sent, or that was raised again.
    same = [found.frame for found in raised if found[:2] == last[:2] and found.frame]
    others = [found.frame for found in reversed(raised) if found.frame]
    context = raised[0].type if raised[0].type != last.type else ""
    return last._replace(frame=next(iter(same or others), None), context=context)


def _python_block(block: str) -> list[Failure]:
    """Return the exception after a block's last frame, or nothing."""
    at = block.rfind('File "')
    start = block.rfind("\n", 0, at) + 1 if at >= 0 else 0
    for place, line in islice(_lines(block, start), _MAX_FRAMES):
        text = line.lstrip()
        if text and (at < 0 or len(line) - len(text) < at - start):
            found = _raised(block[place : place + _MAX_MESSAGE])
            return [found._replace(frame=_python_frame(block))] if found else []
    return []


def _lines(text: str, start: int) -> Iterator[tuple[int, str]]:
    """Yield the places and the lines of *text* from *start* on, without splitting the rest."""
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, text[start:end]
        start = end + 1


def _raised(text: str) -> Failure | None:
    """Return the exception of ``ValueError: message``."""
    line, _, rest = text.strip().partition("\n")
    match = _RAISED.match(line.rstrip())
    if match is None:
        return None
    # A message may begin with an empty line.
    message = match[2] or (first_line(rest) if line.rstrip().endswith(":") else "")
    return Failure(_last_part(match[1]), message)


def first_line(text: str) -> str:
    """Return the first line of *text* that is not blank."""
    return text[:_MAX_MESSAGE].strip().partition("\n")[0].rstrip()


def _python_frame(block: str) -> Frame | None:
    end = len(block)
    for _ in range(_MAX_FRAMES):
        end = block.rfind('File "', 0, end)
        match = _FILE.match(block, end) if end >= 0 else None
        if end < 0:
            break
        if match and match[2] not in _INLINED and not FOREIGN_PYTHON.search(match[1][-300:]):
            return Frame(file_name(match[1]), match[2] or "")
    return None


_NODE_FRAME = re.compile(r"^[ \t]{1,16}at ([^\n]+)$", re.M)
_NODE_POSITION = re.compile(r":\d+:\d+$")
NODE_STARTS = re.compile(r":\d+:\d+\)?[ {]*$| \(<anonymous>\)$")
_NODE_RAISED = re.compile(r"^(?:Uncaught )?([A-Za-z_$][\w.$]*)(?: \[\w+\])?(?:: (.*))?$")
_NODE_PLACE = re.compile(r"^(/[^:\n]*|[A-Z]:\\[^:\n]*|file:[^\n]*):\d+$", re.M)
_NODE_CAUSE = re.compile(r"\[cause\]: ([A-Za-z_$][\w.$]*)")
_FOREIGN_NODE = ("node_modules/", "node_modules\\", "node:", "internal/", "<anonymous>")


def _node(text: str) -> Failure | None:
    first = _NODE_FRAME.search(text)
    if first is None or not NODE_STARTS.search(first[1][-60:]):
        return None
    head = text[: first.start()].rstrip()
    cause = _NODE_CAUSE.search(text, first.end())
    end = cause.start() if cause else len(text)
    matches = islice(_NODE_FRAME.finditer(text, first.start(), end), _MAX_FRAMES)
    places = map(_node_place, matches)
    frame = next((_node_frame(*place) for place in places if is_own_node(place[1])), None)
    frame = frame or _node_header(head)
    return _node_raised(head)._replace(frame=frame, context=cause[1] if cause else "")


def _node_place(match: re.Match[str]) -> tuple[str, str]:
    """Return the function and the place of a frame: ``at f (file:1:2)``, ``at file:1:2``."""
    line = match[1].rstrip(" {")
    if line.endswith(")"):
        function, _, place = line[:-1].rpartition(" (")
        return function, place
    return "", line.removeprefix("async ")


def is_own_node(place: str) -> bool:
    return bool(_NODE_POSITION.search(place[-30:])) and not any(
        foreign in place for foreign in _FOREIGN_NODE
    )


def _node_frame(function: str, place: str) -> Frame:
    name = function.partition(" [as ")[0].removeprefix("async ")
    return Frame(file_name(_NODE_POSITION.sub("", place)), re.sub(r"^Object\.(?=<)", "", name))


def _node_raised(head: str) -> Failure:
    """Return the exception above the first frame; its message may have several lines."""
    lines = head[-2000:].split("\n")
    for at in range(len(lines) - 1, -1, -1):
        match = _NODE_RAISED.match(lines[at])
        if match and (match[1].endswith("Error") or at == 0 or not lines[at - 1].strip()):
            return Failure(match[1], first_line("\n".join([match[2] or "", *lines[at + 1 :]])))
    return Failure("", lines[-1].strip())


def _node_header(head: str) -> Frame | None:
    """Return the place above a syntax error: the first line of the text."""
    match = _NODE_PLACE.search(head[-2000:])
    return Frame(file_name(match[1])) if match else None


JAVA_FRAME = re.compile(r"^[ \t]{1,8}at ([\w.$/@<>-]+)\(([^()\n]*)\)", re.M)
_JAVA_RAISED = re.compile(
    r'^(?:Exception in thread "[^"\n]*" |Caused by: )?([a-zA-Z_][\w.$]*)(?:: (.*))?$'
)
FOREIGN_JAVA = re.compile(
    r"(?:[\w.-]+(?:@[\w.-]+)?/)?(?:javax?|jdk|sun|com\.sun|kotlinx?|scala|groovy|org\.springframework"
    r"|org\.apache|org\.hibernate|org\.junit|org\.gradle|io\.netty|reactor)\."
)


def _java(text: str) -> Failure | None:
    first = JAVA_FRAME.search(text)
    if first is None:
        return None
    raised = _java_raised(text[: first.start()])
    causes = text.rfind("\nCaused by: ")
    context = _java_raised(text[causes + 1 :].partition("\n\t")[0]).type if causes > 0 else ""
    matches = islice(JAVA_FRAME.finditer(text, first.start()), _MAX_FRAMES)
    frame = next((_java_place(at) for at in matches if not FOREIGN_JAVA.match(at[1])), None)
    return raised._replace(frame=frame, context=context if context != raised.type else "")


def _java_raised(head: str) -> Failure:
    lines = head[-2000:].rstrip().split("\n")
    for at in range(len(lines) - 1, -1, -1):
        match = _JAVA_RAISED.match(lines[at])
        if match and "." in match[1]:
            name = match[1].rpartition(".")[2].rpartition("$")[2]
            return Failure(name, first_line("\n".join([match[2] or "", *lines[at + 1 :]])))
    return Failure("", lines[-1])


def _java_place(match: re.Match[str]) -> Frame:
    method = ".".join(match[1].rpartition("/")[2].split(".")[-2:])
    return Frame(match[2].partition(":")[0], re.sub(r"\$\d+|\d+", "", method))


_GO_RAISED = re.compile(r"^(panic|fatal error): (.*)$", re.M)
_GO_FRAME = re.compile(r"^(\S[^\n]*)\n\t(/[^\n]*|[A-Z]:[^\n]*?):\d+(?: \+0x[0-9a-f]+)?$", re.M)
FOREIGN_GO = re.compile(r"/go[\d.]*/src/|/pkg/mod/|/vendor/|/libexec/src/")


def _go(text: str) -> Failure | None:
    raised = _GO_RAISED.search(text)
    if raised is None:
        return None
    message = raised[2].removesuffix(" [recovered]")
    return Failure(raised[1], message, _go_frame(text[raised.end() :]))


def _go_frame(text: str) -> Frame | None:
    for match in islice(_GO_FRAME.finditer(text), _MAX_FRAMES):
        if not FOREIGN_GO.search(match[2]):
            function = match[1].removeprefix("created by ").rpartition("(")[0] or match[1]
            return Frame(file_name(match[2]), function.rpartition("/")[2])
    return None


_RUBY_RAISED = re.compile(r"^(?:\S*: )?([^\s:]+):(\d+):in [`'](.*?)': (.*)$", re.M)
_RUBY_CLASS = re.compile(r" \(([A-Z][\w:]*)\)$", re.M)
_RUBY_FRAME = re.compile(r"^[ \t]{0,16}(?:\d+: )?from ([^\s:]+):(\d+):in [`'](.*)'$", re.M)
FOREIGN_RUBY = re.compile(r"/gems/|/lib/ruby/|^<internal:")
_RUBY_BLOCK = re.compile(r"^(?:(?:block|rescue|ensure)(?: \(\d+ levels\))? in )+")


def _ruby(text: str) -> Failure | None:
    raised = _RUBY_RAISED.search(text)
    named = _RUBY_CLASS.search(text, raised.start(4)) if raised else None
    if raised is None or named is None:
        return None
    message = first_line(text[raised.start(4) : named.start()])
    places = [raised, *islice(_RUBY_FRAME.finditer(text, raised.end()), _MAX_FRAMES)]
    return Failure(named[1].rpartition(":")[2], message, _ruby_frame(places))


def _ruby_frame(places: list[re.Match[str]]) -> Frame | None:
    for place, caller in zip_longest(places, places[1:]):
        # A method written in C has the place of its caller.
        is_caller = caller is None or place.group(1, 2) != caller.group(1, 2)
        if is_caller and not FOREIGN_RUBY.search(place[1]):
            return Frame(file_name(place[1]), _RUBY_BLOCK.sub("", place[3]))
    return None


_READERS: tuple[tuple[str, Callable[[str], Failure | None]], ...] = (
    (_HEADER, _python),
    (".java:", _java),
    (" at ", _node),
    ("goroutine ", _go),
    (":in ", _ruby),
    ('File "', _python),
    ("\tat ", _java),
)
