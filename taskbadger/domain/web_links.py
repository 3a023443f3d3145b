"""Which texts in a task's data are links that pages may offer."""

from urllib.parse import urlsplit

from taskbadger.domain.secrets import MASK

MAX_LINK = 2000


def web_link(text: str) -> str | None:
    """Return *text* if it is an address of the web and nothing else; otherwise None.

    An address with a masked secret leads nowhere.
    """
    if len(text) > MAX_LINK or MASK in text or not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return text if parts.scheme in ("http", "https") and parts.hostname else None
