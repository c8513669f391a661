"""What a browser session needs: a sealed SameSite cookie, a CSRF token bound to it, and a strict content policy.

    cookie perennial = base64url(nonce + AES-256-GCM({"key": "pk_..." or null, "id": "4f..", "at": 1795226400}))
    token            = HMAC of the cookie; every form carries it, and a POST without it is refused

Both have a key of their own, derived from the master key, so every web process reads every cookie and none keeps state.
"""

import base64
import binascii
import hmac
import json
import os
import time
from dataclasses import dataclass
from secrets import token_hex

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import Request, Response

from service.vault import Vault

COOKIE = "perennial"
MAX_AGE_SECONDS = 12 * 3600
_NONCE_BYTES = 12

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class BrowserSession:
    """One browser's visit; `key` is the API key that it signed in with. `cookie` is how it is written."""

    cookie: str
    key: str | None
    is_new: bool = False


class Cookies:
    """Seals and opens session cookies."""

    def __init__(self, vault: Vault) -> None:
        self._aes = AESGCM(vault.key_for("session"))
        self._token_key = vault.key_for("session token")

    def open(self, request: Request) -> BrowserSession:
        """The session of a request; a new one without a key if it brings none that is ours and fresh."""
        cookie = request.cookies.get(COOKIE, "")
        try:
            sealed = base64.urlsafe_b64decode(cookie.encode())
            plain = json.loads(self._aes.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], COOKIE.encode()))
        except (InvalidTag, ValueError, binascii.Error):
            return self.begin(None)
        if time.time() - plain["at"] > MAX_AGE_SECONDS:
            return self.begin(None)
        return BrowserSession(cookie, plain["key"])

    def begin(self, key: str | None) -> BrowserSession:
        """A new session."""
        plain = json.dumps({"key": key, "id": token_hex(8), "at": time.time()}).encode()
        nonce = os.urandom(_NONCE_BYTES)
        cookie = base64.urlsafe_b64encode(nonce + self._aes.encrypt(nonce, plain, COOKIE.encode())).decode()
        return BrowserSession(cookie, key, is_new=True)

    def token(self, session: BrowserSession) -> str:
        """The CSRF token that this session's forms carry."""
        return hmac.digest(self._token_key, b"csrf " + session.cookie.encode(), "sha256").hex()

    def is_token(self, session: BrowserSession, token: str) -> bool:
        """Whether a form's token is this session's."""
        # as bytes: of texts compare_digest takes ASCII only
        return not session.is_new and hmac.compare_digest(self.token(session).encode(), token.encode(errors="replace"))


def keep(response: Response, session: BrowserSession, request: Request) -> None:
    """Send the session's cookie if the browser does not have it yet."""
    if session.is_new:
        response.set_cookie(
            COOKIE,
            session.cookie,
            max_age=MAX_AGE_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
            path="/",
        )
