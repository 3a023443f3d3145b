"""Scopes: ``ingest`` changes tasks, ``read`` reads, ``ping`` pings monitors, ``admin`` does all."""

INGEST = "ingest"
READ = "read"
PING = "ping"
ADMIN = "admin"

_SAFE = frozenset({"GET", "HEAD"})


def allows(scopes: frozenset[str], method: str, *, write_scope: str) -> bool:
    """Say whether a key with *scopes* may use the HTTP *method*.

    *write_scope* is the scope that methods other than GET and HEAD require.
    """
    needed = READ if method in _SAFE else write_scope
    return needed in scopes or ADMIN in scopes
