"""Other programs: the mail server, the broker, and the proxy in front of us."""

import http.client
import ssl
from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit
from uuid import uuid4

from taskbadger.channels import DeliveryError
from taskbadger.channels.smtp import try_server
from taskbadger.doctor.findings import ERROR, FINE, SECONDS, WARNING, Finding
from taskbadger.domain.mail import parse_smtp_url
from taskbadger.logs import REQUEST_ID
from taskbadger.settings import Settings


def look_at_mail(settings: Settings) -> Iterator[Finding]:
    """Log in to the mail server; nothing is sent."""
    if not settings.SMTP_URL:
        advice = "Set TASKBADGER_SMTP_URL, unless nobody shall get e-mails"
        yield Finding(WARNING, "mail", "there is no mail server", advice)
        return
    server = parse_smtp_url(settings.SMTP_URL)
    place = f"{server.host}:{server.port}"
    try:
        try_server(server, seconds=SECONDS)
    except DeliveryError as error:
        advice = "Correct TASKBADGER_SMTP_URL, or start the server"
        yield Finding(ERROR, "mail", f"{place}: {error.detail.rstrip('.')}", advice)
    else:
        yield Finding(FINE, "mail", f"{place} lets us in")


def look_at_broker(settings: Settings) -> Iterator[Finding]:
    """Connect to the broker, if there is one."""
    if not settings.BROKER_URL:
        return
    if find_spec("celery") is None:
        advice = 'Install it: pip install "taskbadger-server[celery]"'
        yield Finding(ERROR, "broker", "Celery is not installed", advice)
        return
    from celery import Celery  # noqa: PLC0415 - an optional extra

    celery = Celery(broker=settings.BROKER_URL, set_as_current=False)
    celery.conf.broker_connection_timeout = SECONDS
    try:
        with celery.connection_for_write() as connection:
            place = connection.as_uri()
            connection.ensure_connection(max_retries=1, timeout=SECONDS)
    except Exception as error:  # Each transport has its own.
        advice = "Start it, or correct TASKBADGER_BROKER_URL"
        yield Finding(ERROR, "broker", f"cannot be reached: {error}", advice)
    else:
        yield Finding(FINE, "broker", f"{place} lets us in")


def look_at_base_url(settings: Settings) -> Iterator[Finding]:
    """Ask ourselves, by the address that others use, with an id that only we repeat."""
    if not settings.BASE_URL:
        advice = "Set it, if others open links in messages from elsewhere"
        yield Finding(WARNING, "address", "TASKBADGER_BASE_URL is not set", advice)
        return
    sent = uuid4().hex
    try:
        status, repeated = _ask(settings.BASE_URL, sent)
    except (OSError, http.client.HTTPException) as error:
        said = f"{settings.BASE_URL} cannot be reached from here: {error}"
        advice = "Start serve; look at the proxy and at TASKBADGER_BASE_URL"
        yield Finding(WARNING, "address", said, advice)
        return
    if status == http.client.OK and repeated == sent:
        yield Finding(FINE, "address", f"{settings.BASE_URL} leads to a server of this kind")
    else:
        said = f"{settings.BASE_URL} leads to something else, which answered {status}"
        yield Finding(ERROR, "address", said, "Correct TASKBADGER_BASE_URL, or the proxy")


def _ask(base_url: str, request_id: str) -> tuple[int, str | None]:
    """Return the status of ``/healthz``, and the id that its answer repeats."""
    url = urlsplit(base_url)
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        tls = ssl.create_default_context()
        connection = http.client.HTTPSConnection(url.netloc, timeout=SECONDS, context=tls)
    else:
        connection = http.client.HTTPConnection(url.netloc, timeout=SECONDS)
    try:
        path = f"{url.path.rstrip('/')}/healthz"
        connection.request("GET", path, headers={REQUEST_ID: request_id})
        answer = connection.getresponse()
        answer.read(1000)
        return answer.status, answer.getheader(REQUEST_ID)
    finally:
        connection.close()
