"""The master key: 32 bytes in a file of the home that its owner alone may read, or in the environment.

keys/master.key       made at first start
keys/master.key.next  while the key is changed: whichever of the two opens the key store is the one
"""

import base64
import binascii
import os
from pathlib import Path
from secrets import token_bytes

from pipelines.errors import InputError
from service.private_files import check_private
from service.settings import Settings

KEY_BYTES = 32


def read_master_key(settings: Settings, may_create: bool = False) -> bytes:
    """The master key of the environment or the file.

    Raises:
        InputError: it is missing and may not be made, malformed, or others may read its file.
    """
    if settings.master_key is not None:
        return parse_key(settings.master_key)
    path = settings.key_file
    if not path.exists():
        if not may_create:
            raise InputError(
                f"this database was made with a master key that is not here: put it back at {path}, "
                "or into PERENNIAL_MASTER_KEY"
            )
        _create_key_file(path)
    return _read(path)


def parse_key(text: str) -> bytes:
    """A master key as it stands in the environment; raises InputError for anything else than 32 bytes."""
    text = text.strip()
    if len(text) == 2 * KEY_BYTES:
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise InputError(
            "PERENNIAL_MASTER_KEY must be 32 bytes in hex (64 digits) or base64; make one: openssl rand -hex 32"
        )
    return key


def source_of(settings: Settings) -> str:
    """Where the master key comes from, for sentences."""
    return "PERENNIAL_MASTER_KEY" if settings.master_key is not None else str(settings.key_file)


def write_next_key(settings: Settings) -> bytes:
    """A new key, on the disk beside the present one when this returns; one that an interrupted change left is taken away."""
    path = _next_file(settings)
    path.unlink(missing_ok=True)
    key = token_bytes(KEY_BYTES)
    _write(path, key)
    _sync(path.parent)
    return key


def next_key(settings: Settings) -> bytes | None:
    """The key that a change of keys wrote and did not put in place; None without one."""
    path = _next_file(settings)
    return _read(path) if settings.master_key is None and path.exists() else None


def use_next_key(settings: Settings) -> None:
    """Puts the new key in the place of the present one, which is gone then."""
    os.replace(_next_file(settings), settings.key_file)
    _sync(settings.key_file.parent)


def _next_file(settings: Settings) -> Path:
    return settings.key_file.with_name(f"{settings.key_file.name}.next")


def _read(path: Path) -> bytes:
    check_private(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise InputError(f"the master key file {path} has {len(key)} bytes and must have {KEY_BYTES}; restore it")
    return key


def _create_key_file(path: Path) -> None:
    """Writes a new key under another name and links it into place: of several processes one wins, none reads half."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"master.{os.getpid()}.{token_bytes(4).hex()}.tmp")
    try:
        _write(draft, token_bytes(KEY_BYTES))
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)


def _write(path: Path, key: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
