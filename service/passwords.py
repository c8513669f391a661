"""Passwords as Argon2id hashes: 64 MiB and three passes each (RFC 9106, the second recommended choice).

$argon2id$v=19$m=65536,t=3,p=4$c2FsdA...$aGFzaA...
"""

import unicodedata
from functools import cache
from secrets import token_urlsafe

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from pipelines.errors import InputError

SHORTEST, LONGEST = 12, 512
_FEWEST_CHARACTERS = 4
_hasher = PasswordHasher()


def check_password(name: str, password: str) -> None:
    """Passes for a password that can be kept.

    Raises:
        InputError: it is too short or too long, is the name over again, or a few characters over again.
    """
    length = len(password)
    if not SHORTEST <= length <= LONGEST:
        raise InputError(f"a password has {SHORTEST} to {LONGEST} characters, and this one has {length}")
    folded = password.casefold()
    if len(set(folded)) < _FEWEST_CHARACTERS or not folded.replace(name.casefold(), ""):
        raise InputError("this password is guessed at once: it is the name, or the same few characters over again")


def hash_password(password: str) -> str:
    """The hash to keep, with a salt of its own; about a tenth of a second."""
    return _hasher.hash(_bytes(password))


def is_password(kept: str | None, password: str) -> bool:
    """Whether a password is the one of a hash; None takes as long as a wrong one, so that time tells no names."""
    if len(password) > LONGEST:
        return False
    try:
        return _hasher.verify(kept or _nobodys(), _bytes(password)) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(kept: str) -> bool:
    """Whether a hash was made with other costs than today's, and is made anew when its user signs in."""
    return _hasher.check_needs_rehash(kept)


@cache
def _nobodys() -> str:
    return _hasher.hash(token_urlsafe(32))


def _bytes(password: str) -> bytes:
    """The same from every keyboard: macOS composes Hangul and accents otherwise than Windows."""
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")
