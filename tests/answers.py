"""The whole bodies of API errors, to compare with."""

from typing import Any

from werkzeug.test import TestResponse

NOT_FOUND = ("not_found", "Not found.")
NOT_AUTHENTICATED = ("not_authenticated", "Authentication credentials were not provided.")
AUTHENTICATION_FAILED = ("authentication_failed", "Incorrect authentication credentials.")


def problem(code: str, detail: str, *, kind: str = "client_error") -> dict[str, Any]:
    """Return the body of an error that is not about a field."""
    return {"type": kind, "errors": [{"code": code, "detail": detail, "attr": None}]}


def wrong(*errors: tuple[str | None, str, str]) -> dict[str, Any]:
    """Return the body of a 400 about fields; each error is attr, code and detail."""
    found = [{"code": code, "detail": detail, "attr": attr} for attr, code, detail in errors]
    return {"type": "validation_error", "errors": found}


def assert_problem(
    answer: TestResponse, status: int, code: str, detail: str, **options: Any
) -> None:
    """Check status, content type and the whole body."""
    shown = (answer.status_code, answer.headers["Content-Type"], answer.json)
    assert shown == (status, "application/json", problem(code, detail, **options))


def assert_wrong(answer: TestResponse, *errors: tuple[str | None, str, str]) -> None:
    """Check for a 400 that lists exactly these errors, in any order."""
    assert answer.status_code == 400, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json
    assert body is not None
    body["errors"].sort(key=lambda error: (error["attr"] or "", error["code"]))
    assert body == wrong(*sorted(errors, key=lambda error: (error[0] or "", error[1])))
