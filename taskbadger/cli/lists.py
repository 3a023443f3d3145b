"""How lists are printed: as a table for people, or as one JSON object per line for programs."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def json_option(function: Function) -> Function:
    """Add the option ``--json``, which the command gets as *as_json*."""
    option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
    return option(function)


def print_list(
    rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, as_json: bool
) -> None:
    """Print rows, each of whose values is text, a number, a list of text, or None.

    The names of *columns* are the heads of the table, and the order of both.
    """
    if as_json:
        for row in rows:
            click.echo(json.dumps({name: row[name] for name in columns}, ensure_ascii=False))
        return
    heads = [name.replace("_", " ").upper() for name in columns]
    table = [heads, *([_text(row[name]) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _text(value: object) -> str:
    """Return a value for people; what could control a terminal is escaped."""
    if value is None:
        return "-"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if text.isprintable() else repr(text)
