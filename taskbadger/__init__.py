"""A self-hosted Task Badger server."""

from taskbadger.app import create_app

__all__ = ["create_app"]
