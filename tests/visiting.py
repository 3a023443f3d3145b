"""What people and programs do with the links of messages, over HTTP."""

import re
import socket
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar, DefaultCookiePolicy


def free_address() -> str:
    """Return an address of this machine on which nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


def scan(url: str) -> None:
    """Follow a link as the scanners of mail servers do."""
    for method in ("HEAD", "GET", "GET"):
        request = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            assert response.status == 200


def press(url: str) -> str:
    """Press the button of the page behind a link; return the page that follows."""
    # As behind a proxy that speaks https: cookies for https are sent, too.
    jar = CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    with opener.open(url, timeout=30) as response:
        page = response.read().decode()
    hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page))
    body = urllib.parse.urlencode(hidden).encode()
    action = re.search(r'<form[^>]* action="([^"]*)"', page)
    to = urllib.parse.urljoin(url, action.group(1)) if action else url
    with opener.open(urllib.request.Request(to, data=body), timeout=30) as response:
        return str(response.read().decode())
