"""A small, real OpenID Connect provider: discovery, authorization with PKCE, tokens and keys."""

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, abort, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

CLIENT_ID = "taskbadger"
CLIENT_SECRET = "the secret of the client"
KEY = RSAKey.generate_key(2048, {"kid": "one"})


@dataclass
class OidcProvider:
    """The provider's state. A test sets who is signed in, and what is wrong with tokens."""

    url: str = ""
    person: dict[str, Any] = field(
        default_factory=lambda: {
            "sub": "person-17",
            "email": "Ada@example.org",
            "email_verified": True,
            "name": "Ada L.",
        }
    )
    claims: dict[str, Any] = field(default_factory=dict)
    """Claims that replace the correct ones of a token."""
    issuer: str | None = None
    """The issuer in the discovery document, if not the correct one."""
    left_out: str = ""
    """Fields missing from the discovery document."""
    described: int = 0
    """How often the discovery document was read."""
    signing_key: RSAKey = field(default_factory=lambda: KEY)
    """The key that signs tokens; the published one is KEY."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def app(self) -> Flask:
        """Return the application."""
        app = Flask("oidc_provider")
        app.add_url_rule("/.well-known/openid-configuration", view_func=self.describe)
        app.add_url_rule("/authorize", view_func=self.authorize)
        app.add_url_rule("/token", view_func=self.token, methods=["POST"])
        app.add_url_rule("/keys", view_func=self.keys)
        return app

    def describe(self) -> Response:
        self.described += 1
        description = {
            "issuer": self.issuer or self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        }
        description.pop(self.left_out, None)
        return jsonify(description)

    def authorize(self) -> Any:
        """Redirect back at once, because the person is already signed in here."""
        asked = request.args.to_dict()
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        answer = urlencode({"code": code, "state": asked["state"]})
        return redirect(f"{asked['redirect_uri']}?{answer}")

    def token(self) -> Response:
        """Exchange a code for a token, once."""
        asked = self.codes.pop(request.form["code"], None)
        sent = request.authorization
        if asked is None or sent is None:
            abort(400)
        verifier = hashlib.sha256(request.form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        right = (
            (sent.username, sent.password) == (CLIENT_ID, CLIENT_SECRET)
            and challenge == asked["code_challenge"]
            and request.form["redirect_uri"] == asked["redirect_uri"]
        )
        if not right:
            return Response('{"error": "invalid_grant"}', 400, mimetype="application/json")
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.person,
            **self.claims,
        }
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.signing_key)
        return jsonify(access_token="unused", token_type="Bearer", id_token=signed)

    def keys(self) -> Response:
        return jsonify(keys=[KEY.as_dict(private=False)])


@contextmanager
def running_provider() -> Iterator[OidcProvider]:
    """Serve a provider on a free port."""
    provider = OidcProvider()
    server = make_server("127.0.0.1", 0, provider.app(), threaded=True)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
