"""Seals user text under per-person keys, and hashes ids with keys, so that nothing on disk can be read or guessed.

    master key (var/keys/master.key, 0600, or PERENNIAL_MASTER_KEY)
    ├── wraps each person's data key     kept in the key store (service/store/keystore.py), bound to the person's id
    │   ├── seals text                   nonce (12 bytes) + AES-256-GCM ciphertext + tag (16), bound to its row
    │   └── keys the digests of messages
    └── HKDF, one key per purpose        keyed hashes of client ids, user ids, message ids, clusters; browser sessions;
                                         of the first master key, once it was changed (service/rotation.py)

Forgetting a person's wrapped key makes everything sealed under it unreadable. A correction that somebody wrote into
another person's conversation is sealed under the key of its writer and then under the key of the conversation's person.
"""

import hmac
import os
from collections.abc import Callable, Iterable, Sequence
from secrets import token_bytes
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, update

from pipelines.errors import ArtifactError, InputError
from service.keyed_hashes import Hasher, keyed_hash, keyed_hashes, new_hasher
from service.master_key import KEY_BYTES, next_key, read_master_key, source_of, use_next_key
from service.randomness import random_bytes
from service.settings import Settings
from service.store.binding import bind_key_store, curate_what_opens_again, settle_erasures
from service.store.bulk import insert_ignoring_conflicts
from service.store.session import Store
from service.store.tables import KeyCheck

_NONCE_BYTES = 12
_CHECK = b"perennial master key check"
_ROOT_PLACE = b"root"


class PersonKey:
    """One person's data key. Every sealed value is bound to the row it belongs to by `aad` (see *_place below)."""

    __slots__ = ("_aes", "_hasher", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._aes = AESGCM(raw)
        self._hasher: Hasher | None = None

    def seal(self, plain: bytes, aad: str) -> bytes:
        """The sealed bytes; a new random nonce each time, so equal texts do not look equal."""
        nonce = random_bytes(_NONCE_BYTES)
        return nonce + self._aes.encrypt(nonce, plain, aad.encode())

    def seal_all(self, plains: Sequence[bytes], aads: Iterable[str]) -> list[bytes]:
        """`seal` of each, which together cost less."""
        nonces = random_bytes(_NONCE_BYTES * len(plains))
        encrypt, starts = self._aes.encrypt, range(0, len(nonces), _NONCE_BYTES)
        return [
            (nonce := nonces[start : start + _NONCE_BYTES]) + encrypt(nonce, plain, aad.encode())
            for start, plain, aad in zip(starts, plains, aads, strict=True)
        ]

    def unseal(self, sealed: bytes, aad: str) -> bytes:
        """The plain bytes.

        Raises:
            ArtifactError: sealed under another key, moved from another row, or damaged.
        """
        try:
            return self._aes.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], aad.encode())
        except (InvalidTag, ValueError) as error:
            raise ArtifactError(
                f"sealed text at {aad} cannot be opened: damaged, or sealed under another key"
            ) from error

    def digest(self, *parts: str) -> str:
        """A 128-bit keyed digest (hex) that cannot be tested against guesses once the person's key is gone."""
        if self._hasher is None:
            self._hasher = new_hasher(hmac.digest(self.raw, b"perennial digest", "sha256"))
        return keyed_hash(self._hasher, parts)


class JointKey:
    """Two people's keys, one inside the other: what they sealed is gone as soon as either of the two is forgotten."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, outer: PersonKey, inner: PersonKey) -> None:
        self._outer, self._inner = outer, inner

    def seal(self, plain: bytes, aad: str) -> bytes:
        """Like PersonKey.seal, twice."""
        return self._outer.seal(self._inner.seal(plain, aad), aad)

    def unseal(self, sealed: bytes, aad: str) -> bytes:
        """Like PersonKey.unseal, twice."""
        return self._inner.unseal(self._outer.unseal(sealed, aad), aad)


TextKey = PersonKey | JointKey


def text_key(owner: PersonKey, writer: PersonKey) -> TextKey:
    """The key of a text that `writer` left in a conversation of `owner`."""
    return owner if owner.raw == writer.raw else JointKey(owner, writer)


class Vault:
    """The master key at work. Cheap to make; holds no person's key."""

    def __init__(self, master_key: bytes, root: bytes | None = None) -> None:
        """`root` is the first master key, once it was changed: it keys the hashes, which cannot be made anew."""
        if len(master_key) != KEY_BYTES:
            raise InputError(f"the master key has {len(master_key)} bytes and must have {KEY_BYTES}")
        self._derived: dict[str, bytes] = {}
        self._hashers: dict[str, Hasher] = {}
        self._root = root or master_key
        self._wrap = AESGCM(_derive(master_key, "wrap"))

    @classmethod
    def with_sealed_root(cls, master_key: bytes, sealed_root: bytes | None) -> "Vault | None":
        """The vault of a master key that may not be the first; None if it is not the one that sealed the first."""
        if sealed_root is None:
            return cls(master_key)
        try:
            wrap = AESGCM(_derive(master_key, "wrap"))
            return cls(master_key, wrap.decrypt(sealed_root[:_NONCE_BYTES], sealed_root[_NONCE_BYTES:], _ROOT_PLACE))
        except InvalidTag:
            return None

    def successor(self, master_key: bytes) -> "Vault":
        """The vault of a new master key, which hashes as this one does."""
        return Vault(master_key, self._root)

    def seal_root(self) -> bytes:
        """The first master key, sealed under this one."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._wrap.encrypt(nonce, self._root, _ROOT_PLACE)

    def new_person_key(self, person_id: str) -> tuple[PersonKey, bytes]:
        """A fresh data key and its wrapped form for the person's row."""
        key = PersonKey(token_bytes(KEY_BYTES))
        return key, self.wrap(person_id, key)

    def wrap(self, person_id: str, key: PersonKey) -> bytes:
        """A person's data key as the key store holds it."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._wrap.encrypt(nonce, key.raw, f"person:{person_id}".encode())

    def open_person_key(self, person_id: str, wrapped: bytes) -> PersonKey:
        """The person's data key.

        Raises:
            ArtifactError: wrapped under another master key, or copied from another person's row.
        """
        try:
            aad = f"person:{person_id}".encode()
            return PersonKey(self._wrap.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], aad))
        except (InvalidTag, ValueError) as error:
            raise ArtifactError(f"the key of person {person_id} cannot be opened with this master key") from error

    def person_hash(self, app_id: str, user: str) -> str:
        """How a user of an app is known in the database, as the owner of conversations and as a rater."""
        return self._hash("person", app_id, user)

    def conversation_hash(self, app_id: str, client_id: str) -> str:
        """How a conversation is known: by its app and the app's own id for it."""
        return self._hash("conversation", app_id, client_id)

    def message_hash(self, app_id: str, message_id: str) -> str:
        """How a message is known to votes: message ids are unique within an app."""
        return self._hash("message", app_id, message_id)

    def message_hashes(self, app_id: str, message_ids: Iterable[str]) -> list[str]:
        """`message_hash` of each, which together cost less."""
        return keyed_hashes(self._hasher_of("message"), app_id, message_ids)

    def attempt_hash(self, kind: str, text: str) -> str:
        """How attempts to sign in are counted: by a name that was typed, or an address, neither of which is stored."""
        return self._hash("sign in", kind, text)

    @property
    def cluster_key(self) -> bytes:
        """Keys the hashes of near-duplicate detection."""
        return self.key_for("cluster")

    def share(self, purpose: str, subject: str) -> float:
        """A permanent pseudo-random number in [0, 1) for a subject, unpredictable without the master key."""
        return int(self._hash(purpose, subject)[:13], 16) / 16**13

    def part_of(self, prompt_cluster: str) -> Literal["train", "dev", "heldout"]:
        """The permanent part of a prompt cluster: train 85 %, dev 5 %, heldout 10 %, by a keyed hash of its id."""
        share = self.share("part", prompt_cluster)
        if share < 0.85:
            return "train"
        return "dev" if share < 0.90 else "heldout"

    def key_for(self, purpose: str) -> bytes:
        """A key of its own for one purpose (HKDF-SHA256 of the master key)."""
        key = self._derived.get(purpose)
        if key is None:
            key = self._derived[purpose] = _derive(self._root, purpose)
        return key

    def seal_check(self) -> bytes:
        """A known text sealed under the first master key, kept to recognize that key."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self.key_for("wrap")).encrypt(nonce, _CHECK, b"check")

    def opens_check(self, sealed: bytes) -> bool:
        """Whether this was sealed under the same first master key."""
        try:
            first = AESGCM(self.key_for("wrap"))
            return first.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], b"check") == _CHECK
        except InvalidTag:
            return False

    def _hash(self, purpose: str, *parts: str) -> str:
        return keyed_hash(self._hasher_of(purpose), parts)

    def _hasher_of(self, purpose: str) -> Hasher:
        if purpose not in self._hashers:
            self._hashers[purpose] = new_hasher(self.key_for(purpose))
        return self._hashers[purpose]


def open_vault(settings: Settings, store: Store) -> Vault:
    """The vault of this database, checked against the key and the key store that the database was first used with.

    Whoever is on the erasure list and in the rows all the same, because they were restored, is erased before it returns.

    Raises:
        InputError: the master key is missing, malformed, or not the one that this database was made with, or the key
            store is not the one in which its people's keys are.
        ArtifactError: the erasure list cannot be read.
    """
    vault = open_master_key(settings, store)
    bind_key_store(store)
    settle_erasures(store)
    curate_what_opens_again(store)
    return vault


def open_master_key(settings: Settings, store: Store) -> Vault:
    """The vault by itself, whatever became of the key store. Raises InputError as `open_vault` does."""
    with store.read() as session:
        check = session.get(KeyCheck, 1)
    if check is None:
        first = Vault(read_master_key(settings, may_create=True)).seal_check()
        with store.begin() as session:
            insert_ignoring_conflicts(session.connection(), KeyCheck, [{"id": 1, "sealed": first}])
        with store.read() as session:
            check = session.get(KeyCheck, 1)
    assert check is not None
    sealed_root = _sealed_root(store) or check.sealed_root
    vault = _vault_of(settings, sealed_root)
    if vault is None or not vault.opens_check(check.sealed):
        raise InputError(
            f"the master key from {source_of(settings)} is not the one this database was made with, and its text cannot "
            "be read without that one; put the right key back"
        )
    if sealed_root != check.sealed_root:  # a copy, for when the key store is lost
        with store.begin() as session:
            session.execute(update(KeyCheck).values(sealed_root=sealed_root))
    return vault


def _sealed_root(store: Store) -> bytes | None:
    try:
        return store.keys.sealed_root()
    except DBAPIError:  # `bind_key_store` says what is wrong with it
        return None


def _vault_of(settings: Settings, sealed_root: bytes | None) -> Vault | None:
    """The vault of the master key; of the next one, if a change of keys was interrupted before its file was in place."""
    vault = Vault.with_sealed_root(read_master_key(settings), sealed_root)
    if vault is None and (waiting := next_key(settings)) is not None:
        vault = Vault.with_sealed_root(waiting, sealed_root)
        if vault is not None:
            use_next_key(settings)
    return vault


def raw_place(message_id: str) -> str:
    """What `message.sealed` is bound to."""
    return f"message:{message_id}"


def clean_place(message_id: str, revision: int) -> str:
    """What `clean_message.sealed` is bound to."""
    return f"clean:{message_id}:{revision}"


def meta_place(conversation_id: str) -> str:
    """What `conversation.sealed_meta` is bound to."""
    return f"meta:{conversation_id}"


def comment_place(vote_id: str) -> str:
    """What `vote.sealed_comment` is bound to."""
    return f"comment:{vote_id}"


def secret_place(conversation_id: str) -> str:
    """What `conversation.sealed_secret` is bound to."""
    return f"secret:{conversation_id}"


class PersonKeys:
    """Opens people's keys within one transaction, each once."""

    def __init__(self, vault: Vault, load: Callable[[Session, str], bytes | None], session: Session) -> None:
        self._vault, self._load, self._session = vault, load, session
        self._open: dict[str, PersonKey | None] = {}

    def __call__(self, person_id: str) -> PersonKey | None:
        """The person's key, or None if the person was forgotten."""
        if person_id not in self._open:
            wrapped = self._load(self._session, person_id)
            self._open[person_id] = None if wrapped is None else self._vault.open_person_key(person_id, wrapped)
        return self._open[person_id]

    def of_text(self, owner: str, writer: str | None) -> TextKey | None:
        """The key of a text in a conversation of `owner`, whoever wrote it; None if either was forgotten."""
        outer = self(owner)
        if writer is None or writer == owner or outer is None:
            return outer
        inner = self(writer)
        return None if inner is None else text_key(outer, inner)


def _derive(key: bytes, purpose: str) -> bytes:
    info = f"perennial/{purpose}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)
