"""The WSGI entry point: ``gunicorn wsgi:app`` and ``flask --app wsgi …``."""

from taskbadger.cli import load_wsgi

app = load_wsgi()
