"""The decision card of a round: everything somebody decides by, in figures and digests, signed by this home.

    {"card": {"round": 2, "model": "tiny-r0002-a1", "verdict": "pass", "digests": {...}, ...},
     "public_key": "9f..", "signature": "c0.."}

The signature is Ed25519 over the card as canonical JSON, under a key derived from the master key: whoever holds the public
key can tell that nothing in a card was changed, anywhere and offline. No text of users, and of people their shares alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlmodel import Session

from pipelines.artifacts import sha256_of
from pipelines.errors import InputError, NotFound
from pipelines.stages.report.facts import JSON_FILE
from service.models.contributions import Influence, ranked
from service.settings import Settings
from service.store import models, rounds
from service.store.tables import Attempt, Model
from service.vault import Vault

_PURPOSE = "decision card"
_PEOPLE = 5
Json = dict[str, Any]


@dataclass(frozen=True)
class Card:
    """A card with the signature of this home, both as hexadecimal digits; `people` are those who moved the model most."""

    facts: Json
    public_key: str
    signature: str
    people: tuple[Influence, ...] = ()

    def text(self) -> str:
        """The card as a file."""
        signed = {"card": self.facts, "public_key": self.public_key, "signature": self.signature}
        return json.dumps(signed, indent=1, ensure_ascii=False) + "\n"


def make_card(session: Session, settings: Settings, vault: Vault, round_id: int) -> Card:
    """The card of a round's newest attempt that was judged. Raises NotFound for a round without one."""
    rounds.get_round(session, round_id)
    judged = [one for one in rounds.attempts(session, round_id) if one.verdict is not None]
    if not judged:
        raise NotFound(f"round {round_id} has no verdict yet, so there is nothing to decide on")
    made = [one for one in rounds.models_of(session, round_id) if one.id.endswith(f"-a{judged[-1].number}")]
    model = made[-1] if made else None
    people = tuple(ranked(session, model.id)[:_PEOPLE]) if model else ()
    facts = _facts(session, settings, judged[-1], model, people)
    key = Ed25519PrivateKey.from_private_bytes(vault.key_for(_PURPOSE))
    public = key.public_key().public_bytes_raw().hex()
    return Card(facts, public, key.sign(_canonical(facts)).hex(), people)


def check_card(vault: Vault, text: str) -> Mapping[str, Any]:
    """The facts of a card that this home signed.

    Raises:
        InputError: it is no card, somebody else signed it, or something in it was changed since.
    """
    try:
        raw = json.loads(text)
        facts, public, signature = dict(raw["card"]), str(raw["public_key"]), bytes.fromhex(raw["signature"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError("this file is no decision card: it has no card with a signature") from error
    ours = Ed25519PrivateKey.from_private_bytes(vault.key_for(_PURPOSE)).public_key()
    if public != ours.public_bytes_raw().hex():
        raise InputError("this card was signed by another home, or before this home's first key was lost")
    if not _is_signed(ours, facts, signature):
        raise InputError("this card was changed after it was signed: do not decide by it")
    return facts


def _is_signed(key: Ed25519PublicKey, facts: Json, signature: bytes) -> bool:
    try:
        key.verify(signature, _canonical(facts))
    except InvalidSignature:
        return False
    return True


def _canonical(facts: Json) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _facts(
    session: Session, settings: Settings, attempt: Attempt, model: Model | None, people: Sequence[Influence]
) -> Json:
    """What the card says; of the report what is decided by, and the digests of everything that made the model."""
    row, snapshot = rounds.get_round(session, attempt.round_id), rounds.get_snapshot(session, attempt.round_id)
    report = settings.home / attempt.folder / "report" / JSON_FILE
    told: Json = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
    form = models.get_model(session, model.id).form if model else None
    digests = {
        "recipe": row.recipe_digest,
        "snapshot": snapshot.digest if snapshot else None,
        **{one.name: one.digest for one in rounds.stages(session, attempt.id or 0)},
        "report.json": sha256_of(report) if told else None,
        "model file": form.sha256 if form else None,
    }
    return {
        "round": attempt.round_id,
        "attempt": attempt.number,
        "recipe": row.recipe_name,
        "model": model.id if model else None,
        "parents": list(model.parents) if model else [],
        "verdict": attempt.verdict,
        "judged_at": attempt.finished_at.isoformat() if attempt.finished_at else None,
        "reasons": list(attempt.reasons),
        **{key: told.get(key) for key in ("scores", "cost", "mixture", "people", "lineage")},
        "moved_most": [{"tokens": round(one.token_share, 4), "feedback": round(one.weight_share, 4)} for one in people],
        "digests": {name: digest for name, digest in digests.items() if digest},
    }
