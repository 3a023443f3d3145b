"""Why a request got no answer."""


class OutboundError(Exception):
    """A request got no answer.

    ``error_class`` is one of ``refused_url``, ``refused_address``, ``dns``, ``connect``, ``tls``,
    ``timeout``, ``reset`` and ``protocol``. The text is for people; it names no address, so that
    it tells nobody what the names inside resolve to.
    """

    def __init__(self, error_class: str, detail: str) -> None:
        super().__init__(detail)
        self.error_class = error_class
        self.detail = detail
