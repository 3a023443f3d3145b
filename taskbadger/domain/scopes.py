"""What a key may do: ``ingest`` changes tasks, ``read`` reads, ``admin`` manages and does both."""

INGEST = "ingest"
READ = "read"
ADMIN = "admin"

_SAFE = frozenset({"GET", "HEAD"})


def allows(scopes: frozenset[str], method: str, *, changes: str) -> bool:
    """Say whether a key with *scopes* may use the HTTP *method*, where *changes* is the scope
    for everything that does not only read."""
    needed = READ if method in _SAFE else changes
    return needed in scopes or ADMIN in scopes
