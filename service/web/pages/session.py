"""What a browser session needs: a sealed SameSite cookie, a CSRF token bound to it, and a strict content policy.

    cookie perennial = base64url(nonce + AES-256-GCM({"key": "pk_..." or null, "id": "4f..", "at": 1795226400,
                                                      "user": "019f.." or null, "generation": 1}))
    token            = HMAC of the cookie; every form carries it, and a POST without it is refused

Both have a key of their own, derived from the master key, so every web process reads every cookie and none keeps state. A
user's session ends with its generation (service/users.py), a key's with the key.
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
from service.web.forwarded import is_https

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
    """One browser's visit; it signed in with the API key `key`, as the user with the id `user`, or not at all.

    `cookie` is how it is written.
    """

    cookie: str
    key: str | None
    is_new: bool = False
    user: str | None = None
    generation: int = 0

    @property
    def is_signed_in(self) -> bool:
        """Whether it did, whatever became of the key or the user since."""
        return self.key is not None or self.user is not None


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
        return BrowserSession(cookie, plain["key"], user=plain.get("user"), generation=plain.get("generation", 0))

    def begin(self, key: str | None, user: str | None = None, generation: int = 0) -> BrowserSession:
        """A new session, of a key, of a user in this generation of theirs, or of nobody yet."""
        who = {"key": key, "user": user, "generation": generation}
        plain = json.dumps(who | {"id": token_hex(8), "at": time.time()}).encode()
        nonce = os.urandom(_NONCE_BYTES)
        cookie = base64.urlsafe_b64encode(nonce + self._aes.encrypt(nonce, plain, COOKIE.encode())).decode()
        return BrowserSession(cookie, key, is_new=True, user=user, generation=generation)

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
            secure=is_https(request),
            path="/",
        )
