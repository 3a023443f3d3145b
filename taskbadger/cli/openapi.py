"""``openapi``: export the OpenAPI document without a running server."""

import json
from typing import IO

import click

from taskbadger.app import create_app
from taskbadger.cli.commands import Group, placeholder_settings


@click.group(cls=Group)
def openapi() -> None:
    """Export the OpenAPI document."""


@openapi.command("write")
@click.argument("file", type=click.File("w", encoding="utf-8"))
def write_openapi(file: IO[str]) -> None:
    """Write the OpenAPI document as JSON; needs no server, database or settings."""
    app = create_app(placeholder_settings())
    document = app.test_client().get("/api/schema.json").json
    file.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
