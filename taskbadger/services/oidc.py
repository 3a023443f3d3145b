"""Single sign-on by OpenID Connect: authorization code with PKCE, state and nonce.

Needs the extra ``oidc``. Who signs in must be a user already, or be invited.
"""

import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import httpx2
from flask import current_app
from sqlalchemy import select

from taskbadger.errors import PermissionDenied, SettingsError
from taskbadger.extensions import db
from taskbadger.models import Identity, User
from taskbadger.services import accounts, audit, invitations, members
from taskbadger.services.accounts import Actor

try:
    from authlib.common.errors import AuthlibBaseError
    from authlib.integrations.httpx_client import OAuth2Client
    from authlib.oidc.core import CodeIDToken
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet
except ImportError:  # pragma: no cover - without the extra
    OAuth2Client = None
else:
    _FAULTS = (httpx2.HTTPError, AuthlibBaseError, JoseError, KeyError, TypeError, ValueError)

SCOPE = "openid email profile"
SECONDS = 10.0
LEEWAY_SECONDS = 60
KEPT_SECONDS = 600.0
"""How long a process goes by a provider's description of itself."""

# Signatures only: a MAC would let whoever knows the client secret make tokens.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
ALGORITHMS += ["Ed25519", "EdDSA"]
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class SignOnFailed(PermissionDenied):
    """The sign-on provider could not tell who you are. Please try again."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Who tells us who somebody is, and who we are to them."""

    issuer: str
    client_id: str
    client_secret: str
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as the provider knows them; their address is verified."""

    issuer: str
    subject: str
    email: str
    name: str


def check_installed() -> None:
    """Raise SettingsError when single sign-on is set, but its libraries are missing."""
    if OAuth2Client is None:
        raise SettingsError(
            "TASKBADGER_OIDC_ISSUER needs more libraries: pip install 'taskbadger-server[oidc]'"
        )


def begin(provider: Provider) -> tuple[str, dict[str, str]]:
    """Return where to send the browser, and what it must bring back. Raises SignOnFailed."""
    kept = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
    with _client(provider) as client:
        endpoint = _discover(client, provider)["authorization_endpoint"]
        url, _ = client.create_authorization_url(
            endpoint, state=kept["state"], code_verifier=kept["verifier"], nonce=kept["nonce"]
        )
    return str(url), kept


def finish(provider: Provider, kept: Mapping[str, str], answer: Mapping[str, str]) -> Person:
    """Return who the provider says is there; *answer* is the query of the redirect.

    Raises SignOnFailed.
    """
    state = answer.get("state", "").encode()
    if not kept or not hmac.compare_digest(kept["state"].encode(), state):
        raise SignOnFailed()
    if "code" not in answer:
        raise SignOnFailed()
    try:
        claims = _fetch_claims(provider, kept, answer["code"])
    except (
        httpx2.HTTPError,
        AuthlibBaseError,
        JoseError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise SignOnFailed() from error
    return _person(provider, claims)


def _fetch_claims(provider: Provider, kept: Mapping[str, str], code: str) -> dict[str, Any]:
    """Trade the code for an identity token; return its claims once they are verified."""
    with _client(provider) as client:
        metadata = _discover(client, provider)
        token = client.fetch_token(
            metadata["token_endpoint"],
            grant_type="authorization_code",
            code=code,
            code_verifier=kept["verifier"],
        )
        key_set = KeySet.import_key_set(cast(Any, _get_json(client, metadata["jwks_uri"])))
    decoded = jwt.decode(token["id_token"], key_set, algorithms=ALGORITHMS)
    claims = CodeIDToken(
        decoded.claims,
        decoded.header,
        {"iss": {"essential": True, "value": metadata["issuer"]}},
        {"nonce": kept["nonce"], "client_id": provider.client_id},
    )
    claims.validate(leeway=LEEWAY_SECONDS)
    return dict(claims)


def _person(provider: Provider, claims: Mapping[str, Any]) -> Person:
    subject, email = claims.get("sub"), claims.get("email")
    if not isinstance(subject, str) or not isinstance(email, str):
        raise SignOnFailed("The sign-on provider did not tell your e-mail address.")
    if claims.get("email_verified") is not True:
        raise SignOnFailed("The sign-on provider has not verified your e-mail address.")
    name = claims.get("name")
    return Person(
        provider.issuer, subject, email.strip().lower(), name if isinstance(name, str) else ""
    )


def _client(provider: Provider) -> Any:
    return OAuth2Client(
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        redirect_uri=provider.redirect_uri,
        scope=SCOPE,
        code_challenge_method="S256",
        timeout=SECONDS,
        trust_env=False,
    )


def _discover(client: Any, provider: Provider) -> dict[str, Any]:
    """Return the provider's own description, of the last minutes; raises SignOnFailed."""
    known = current_app.extensions.setdefault("taskbadger_oidc", {})
    until, metadata = known.get(provider.issuer, (0.0, {}))
    if not metadata or until <= time.monotonic():
        metadata = _fetch_description(client, provider)
        known[provider.issuer] = (time.monotonic() + KEPT_SECONDS, metadata)
    return cast(dict[str, Any], metadata)


def _fetch_description(client: Any, provider: Provider) -> dict[str, Any]:
    base = provider.issuer.rstrip("/")
    try:
        metadata = _get_json(client, f"{base}/.well-known/openid-configuration")
        if metadata["issuer"].rstrip("/") != base:
            raise ValueError("the description is of another issuer")
    except (httpx2.HTTPError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise SignOnFailed("The sign-on provider cannot be reached at the moment.") from error
    missing = [name for name in _ENDPOINTS if not isinstance(metadata.get(name), str)]
    if missing:
        raise SignOnFailed(f"The sign-on provider does not tell its {missing[0]}.")
    return metadata


def _get_json(client: Any, url: str) -> dict[str, Any]:
    answer = client.request("GET", url, withhold_token=True)
    answer.raise_for_status()
    return cast(dict[str, Any], answer.json())


def find_user(person: Person, *, now: datetime) -> User:
    """Return the user whom *person* is; raises SignOnFailed.

    The first time it is the one with the verified address, who may be made for an invitation.
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
    user = members.find_user(person.email) or _invited_user(person, now=now)
    db.session.add(
        Identity(user_id=user.id, issuer=person.issuer, subject=person.subject, created=now)
    )
    actor = Actor("user", user.email)
    audit.record_for_user(actor, user.id, "user.link-sign-on", user.email, person.issuer, now=now)
    return user


def _invited_user(person: Person, *, now: datetime) -> User:
    """Make a user for the open invitations of a verified address, and use them up."""
    found = invitations.list_for(person.email, now=now)
    if not found:
        raise SignOnFailed(f"Nobody has invited {person.email} to this server.")
    user = accounts.ensure_user(person.email, name=person.name[:255], now=now)
    for invitation in found:
        invitations.take(invitation, now=now)
        invitations.join(invitation, user, now=now)
    return user
