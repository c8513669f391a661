"""Names that an upstream gave to more than one answer (Ollama counts to a thousand and begins again: chatcmpl-417).

A vote on such a name could reach the wrong answer, so it is refused. The file holds keyed hashes, one a line.
"""

from pathlib import Path

from pipelines.errors import Conflict
from service.vault import Vault

_MOST_BYTES = 4 << 20


def note_reused(folder: Path, vault: Vault, app: str, name: str) -> None:
    """Keep in mind, in this spool's folder, that a message's name stands for more than one answer of an app."""
    path, hashed = folder / "reused", _hashed(vault, app, name)
    known = _known(folder)
    if hashed in known.split() or len(known) > _MOST_BYTES:
        return
    with path.open("ab") as file:
        file.write(hashed + b"\n")
    path.chmod(0o600)


def refuse_reused(folder: Path, vault: Vault, app: str, name: str) -> None:
    """Pass if a message's name stands for one message of an app.

    Raises:
        Conflict: the upstream gave it to several; the sentence says what to do.
    """
    known = _known(folder)
    if known and _hashed(vault, app, name) in known.split():
        raise Conflict(
            f"the upstream called several answers {name[:80]!r}, so this could reach the wrong one; name answers yourself, with "
            "the header X-Perennial-Answer on the request, and vote on that name"
        )


def _known(folder: Path) -> bytes:
    try:
        return (folder / "reused").read_bytes()
    except FileNotFoundError:
        return b""


def _hashed(vault: Vault, app: str, name: str) -> bytes:
    return vault.message_hash(f"reused in {app}", name).encode()
