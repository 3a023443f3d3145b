"""The baseline: one bare Flask route, with the same gunicorn settings as the server."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello() -> dict[str, str]:
    return {"hello": "world"}
