"""The WSGI entry point: ``gunicorn wsgi:app`` and ``flask --app wsgi …``."""

from taskbadger_server import load_wsgi

app = load_wsgi()
