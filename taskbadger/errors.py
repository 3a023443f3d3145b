"""What services raise: each exception knows its status, its code and its message.

``blueprints/errors.py`` alone turns them into the standard error JSON (docs/contract.md#errors).
"""

from collections.abc import Sequence
from dataclasses import dataclass


class SettingsError(Exception):
    """A setting is missing or wrong. The text names the environment variable."""


class NewerSchema(Exception):
    """A newer program has changed the tables of the database. The text says what to do."""

    def __init__(self, version: str, known: str) -> None:
        super().__init__(
            f"the database has version {version} of the tables, and this program knows {known} "
            "and older ones. Install the newer program again, or go back as "
            "docs/upgrading.md says"
        )
        self.version = version
        self.known = known


class ScheduleError(ValueError):
    """A schedule is not valid. The text names the field and says what it accepts."""


class WriteInReadOnlyTransaction(RuntimeError):
    """Our own mistake: something other than a plain SELECT ran in a read-only transaction."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"{kind} in a read-only transaction: requests with GET and the block `reading()` only "
            "read; to write, use the block `writing()` and commit"
        )
        self.kind = kind


class TaskBadgerError(Exception):
    """The root of all errors that are reported to a client. The docstring is the default detail."""

    status = 500
    code = "error"
    retry_after: int | None = None
    """In how many seconds the client may try again; None if that would not help."""

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "")
        super().__init__(self.detail)

    @property
    def retry_headers(self) -> dict[str, str]:
        """The header that says when to try again, if that would help."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class NotAuthenticated(TaskBadgerError):
    """Authentication credentials were not provided."""

    status = 401
    code = "not_authenticated"


class AuthenticationFailed(TaskBadgerError):
    """Incorrect authentication credentials."""

    status = 401
    code = "authentication_failed"


class PermissionDenied(TaskBadgerError):
    """You do not have permission to perform this action."""

    status = 403
    code = "permission_denied"


class NotFound(TaskBadgerError):
    """Not found."""

    status = 404
    code = "not_found"


class Conflict(TaskBadgerError):
    """The request conflicts with the current state."""

    status = 409
    code = "conflict"


class PayloadTooLarge(TaskBadgerError):
    """The request body is too large."""

    status = 413
    code = "payload_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Request body is larger than the limit of {limit} bytes.")


class UnsupportedMediaType(TaskBadgerError):
    """The request body has a media type other than JSON."""

    status = 415
    code = "not_acceptable"

    def __init__(self, content_type: str) -> None:
        super().__init__(f"Unsupported media type “{content_type}” in request.")


class NotAcceptable(TaskBadgerError):
    """Could not satisfy the request Accept header."""

    status = 406
    code = "not_acceptable"


class ParseError(TaskBadgerError):
    """The request body is not JSON that the server accepts."""

    status = 400
    code = "parse_error"

    def __init__(self, reason: str) -> None:
        super().__init__(f"JSON parse error - {reason}")


class MalformedRequest(TaskBadgerError):
    """The body of a request is not HTTP, or too much of it."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code = status, code


class InvalidHost(TaskBadgerError):
    """The Host header does not name a valid host."""

    status = 400
    code = "parse_error"


class Throttled(TaskBadgerError):
    """Request was throttled."""

    status = 429
    code = "throttled"
    retry_after: int

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Request was throttled. Expected available in {retry_after} seconds.")
        self.retry_after = retry_after


class ServiceUnavailable(TaskBadgerError):
    """The database is temporarily unavailable. Please try again."""

    status = 503
    code = "service_unavailable"
    retry_after = 2


class NotInstalled(TaskBadgerError):
    """The server lacks a library for this."""

    status = 501
    code = "not_installed"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: *attr* is dotted into nested values, as in ``actions.0.trigger``."""

    code: str
    detail: str
    attr: str | None


class ValidationFailed(TaskBadgerError):
    """Some fields are wrong."""

    status = 400
    code = "invalid"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(error.detail for error in errors))
        self.errors = tuple(errors)

    @classmethod
    def one(cls, attr: str | None, detail: str, code: str = "invalid") -> "ValidationFailed":
        """Return the error for a single field."""
        return cls([FieldError(code, detail, attr)])
