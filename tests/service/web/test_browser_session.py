"""The keys of a browser's session: nothing that the database stores, or that another purpose derives, opens a cookie."""

import base64
import hmac

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.vault import Vault
from service.web.pages.session import COOKIE, Cookies

MASTER_KEY = bytes(range(32))


def stored_hashes_as_a_key(vault: Vault) -> bytes:
    """What the keyed hashes of two messages would give; such hashes stand in the tables of votes and messages."""
    return bytes.fromhex("".join(vault.message_hash("pages", f"session key {half}") for half in (1, 2)))


def opens(key: bytes, cookie: str) -> bool:
    sealed = base64.urlsafe_b64decode(cookie)
    try:
        AESGCM(key).decrypt(sealed[:12], sealed[12:], COOKIE.encode())
    except InvalidTag:
        return False
    return True


def test_hashes_of_messages_neither_open_a_cookie_nor_make_its_token() -> None:
    vault = Vault(MASTER_KEY)
    cookies = Cookies(vault)
    session = cookies.begin("pk_key")

    stored = stored_hashes_as_a_key(vault)

    assert not opens(stored, session.cookie)
    assert cookies.token(session) != hmac.digest(stored, b"csrf " + session.cookie.encode(), "sha256").hex()


@pytest.mark.parametrize("purpose", ["wrap", "person", "conversation", "message", "cluster", "part"])
def test_no_other_purpose_of_the_master_key_opens_a_cookie(purpose: str) -> None:
    vault = Vault(MASTER_KEY)

    assert not opens(vault.key_for(purpose), Cookies(vault).begin(None).cookie)


def test_every_process_with_the_master_key_opens_a_cookie_and_no_other_master_key_does() -> None:
    cookie = Cookies(Vault(MASTER_KEY)).begin("pk_key").cookie

    assert opens(Vault(MASTER_KEY).key_for("session"), cookie)
    assert not opens(Vault(bytes(32)).key_for("session"), cookie)
