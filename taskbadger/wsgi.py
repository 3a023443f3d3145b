"""The application for a WSGI server, inside the package: ``serve`` loads it from any folder."""

from taskbadger.cli import load_wsgi

app = load_wsgi()
