"""Single sign-on by OpenID Connect: authorization code with PKCE, state and nonce.

Needs the extra ``oidc``. Who signs in must be a user already, or be invited.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from typing import Any, cast

import httpx2
from sqlalchemy import select

from taskbadger import look_ups
from taskbadger.caches import TimedCache
from taskbadger.domain.identity import Actor, ProviderMetadata
from taskbadger.errors import PermissionDenied, SettingsError
from taskbadger.extensions import db
from taskbadger.models import Identity, User
from taskbadger.services.organizations import audit
from taskbadger.services.people import invitations, users

SCOPE = "openid email profile"
TIMEOUT_SECONDS = 10.0
LEEWAY_SECONDS = 60

# Signatures only: a MAC would let whoever knows the client secret make tokens.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
ALGORITHMS += ["Ed25519", "EdDSA"]
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class SignOnFailed(PermissionDenied):
    """The sign-on provider could not tell who you are. Please try again."""


@dataclass(frozen=True, slots=True)
class Provider:
    """The identity provider of the settings, and how we are registered with it."""

    issuer: str
    client_id: str
    client_secret: str
    redirect_uri: str


MetadataCache = TimedCache[str, ProviderMetadata]
"""What providers published lately, by issuer."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person whom the provider authenticated; their e-mail address is verified."""

    issuer: str
    subject: str
    email: str
    name: str


def check_installed() -> None:
    """Raise SettingsError when single sign-on is set, but its libraries are missing."""
    if find_spec("authlib") is None or find_spec("joserfc") is None:
        raise SettingsError(
            "TASKBADGER_OIDC_ISSUER needs more libraries: pip install 'taskbadger-server[oidc]'"
        )


def begin(provider: Provider, known: MetadataCache) -> tuple[str, dict[str, str]]:
    """Return the URL to redirect the browser to, and what ``finish`` checks its answer with.

    Raises SignOnFailed.
    """
    kept = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
    with _client(provider) as client:
        endpoint = _discover(client, provider, known).authorization_endpoint
        url, _ = client.create_authorization_url(
            endpoint, state=kept["state"], code_verifier=kept["verifier"], nonce=kept["nonce"]
        )
    return str(url), kept


def finish(
    provider: Provider, known: MetadataCache, kept: Mapping[str, str], answer: Mapping[str, str]
) -> Person:
    """Return the person whom the provider has authenticated.

    *kept* is what ``begin`` returned, *answer* the query of the redirect. Raises SignOnFailed.
    """
    state = answer.get("state", "").encode()
    if not kept or not hmac.compare_digest(kept["state"].encode(), state):
        raise SignOnFailed()
    if "code" not in answer:
        raise SignOnFailed()
    try:
        claims = _fetch_claims(provider, known, kept["verifier"], kept["nonce"], answer["code"])
    except _faults() as error:
        raise SignOnFailed() from error
    return _person(provider, claims)


# The libraries take 13 MB of a worker, so they are imported where single sign-on is used.


def _faults() -> tuple[type[Exception], ...]:
    """Return the errors that a wrong answer of a provider can cause."""
    from authlib.common.errors import AuthlibBaseError  # noqa: PLC0415 - see above
    from joserfc.errors import JoseError  # noqa: PLC0415

    return (httpx2.HTTPError, AuthlibBaseError, JoseError, KeyError, TypeError, ValueError)


def _fetch_claims(
    provider: Provider, known: MetadataCache, verifier: str, nonce: str, code: str
) -> dict[str, object]:
    """Exchange the code for an identity token; return its claims once they are verified."""
    from authlib.oidc.core import CodeIDToken  # noqa: PLC0415
    from joserfc import jwt  # noqa: PLC0415
    from joserfc.jwk import KeySet  # noqa: PLC0415

    with _client(provider) as client:
        metadata = _discover(client, provider, known)
        token = client.fetch_token(
            metadata.token_endpoint,
            grant_type="authorization_code",
            code=code,
            code_verifier=verifier,
        )
        key_set = KeySet.import_key_set(cast(Any, _get_json(client, metadata.jwks_uri)))
    decoded = jwt.decode(token["id_token"], key_set, algorithms=ALGORITHMS)
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        {"iss": {"essential": True, "value": metadata.issuer}},
        {"nonce": nonce, "client_id": provider.client_id},
    )
    claims.validate(leeway=LEEWAY_SECONDS)
    return dict(claims)


def _person(provider: Provider, claims: Mapping[str, object]) -> Person:
    subject, email = claims.get("sub"), claims.get("email")
    if not isinstance(subject, str) or not isinstance(email, str):
        raise SignOnFailed("The identity provider did not share your e-mail address.")
    if claims.get("email_verified") is not True:
        raise SignOnFailed("The identity provider has not verified your e-mail address.")
    name = claims.get("name")
    return Person(
        provider.issuer, subject, email.strip().lower(), name if isinstance(name, str) else ""
    )


def _client(provider: Provider) -> Any:
    from authlib.integrations.httpx_client import OAuth2Client  # noqa: PLC0415

    return OAuth2Client(
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        redirect_uri=provider.redirect_uri,
        scope=SCOPE,
        code_challenge_method="S256",
        timeout=TIMEOUT_SECONDS,
        trust_env=False,
        event_hooks={"request": [_check_host]},
    )


def _check_host(request: httpx2.Request) -> None:
    """Raise ConnectError unless the host is found in time: the client has no limit for look-ups.

    The client looks the host up again, but a resolver that has just answered is unlikely to hang.
    """
    host, port = request.url.raw_host.decode("ascii"), request.url.port
    try:
        look_ups.look_up(host, port or 443, seconds=TIMEOUT_SECONDS)
    except (OSError, UnicodeError) as error:
        raise httpx2.ConnectError("the host was not found") from error


def _discover(client: Any, provider: Provider, known: MetadataCache) -> ProviderMetadata:
    """Return the provider's metadata, cached for some minutes; raises SignOnFailed."""
    metadata = known.get(provider.issuer)
    if metadata is None:
        metadata = _fetch_metadata(client, provider)
        known.put(provider.issuer, metadata)
    return metadata


def _fetch_metadata(client: Any, provider: Provider) -> ProviderMetadata:
    base = provider.issuer.rstrip("/")
    try:
        found = _get_json(client, f"{base}/.well-known/openid-configuration")
        if found["issuer"].rstrip("/") != base:
            raise ValueError("the metadata names another issuer")
    except (httpx2.HTTPError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise SignOnFailed("The identity provider cannot be reached right now.") from error
    missing = [name for name in _ENDPOINTS if not isinstance(found.get(name), str)]
    if missing:
        raise SignOnFailed(f"The identity provider does not publish its {missing[0]}.")
    return ProviderMetadata(found["issuer"], *(found[name] for name in _ENDPOINTS))


def _get_json(client: Any, url: str) -> dict[str, Any]:
    answer = client.request("GET", url, withhold_token=True)
    answer.raise_for_status()
    return cast(dict[str, Any], answer.json())


def find_user(person: Person, *, now: datetime) -> User:
    """Return the user that *person* is linked to; raises SignOnFailed.

    The first sign-on links them to the user with the same address, or to a new user if the
    address has open invitations.
    """
    user = _linked_user(person) or _link(person, now=now)
    if user.disabled:
        raise SignOnFailed("This account is disabled.")
    return user


def _linked_user(person: Person) -> User | None:
    return db.session.scalar(
        select(User)
        .join(Identity, Identity.user_id == User.id)
        .where(Identity.issuer == person.issuer, Identity.subject == person.subject)
    )


def _link(person: Person, *, now: datetime) -> User:
    user = users.find_user(person.email) or _invited_user(person, now=now)
    db.session.add(
        Identity(user_id=user.id, issuer=person.issuer, subject=person.subject, created=now)
    )
    actor = Actor("user", user.email)
    audit.record_for_user(actor, user.id, "user.link-sign-on", user.email, person.issuer, now=now)
    return user


def _invited_user(person: Person, *, now: datetime) -> User:
    """Create a user for a verified address and accept all its open invitations."""
    found = invitations.list_for(person.email, now=now)
    if not found:
        raise SignOnFailed(f"{person.email} has not been invited to this server.")
    user = users.ensure_user(person.email, name=person.name[:255], now=now)
    for invitation in found:
        invitations.take(invitation, now=now)
        invitations.join(invitation, user, now=now)
    return user
