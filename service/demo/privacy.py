"""What became of the personal information that the sample plants: measured on the clean text and on the disk."""

import json
import mmap
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from pipelines.text import fold
from service.settings import Settings
from service.store.people import wrapped_key
from service.store.session import open_store
from service.store.tables import App, CleanMessage, Conversation, Person
from service.vault import clean_place, open_vault

MUST_NOT_LEAK = ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "KR_RRN", "SECRET")


@dataclass(frozen=True)
class Planted:
    """One planted value, as written in the raw text of a conversation (by the client's id)."""

    conversation: str
    entity: str
    value: str


def read_planted(path: Path, conversations: Iterable[str]) -> list[Planted]:
    """The planted values of these conversations."""
    wanted = set(conversations)
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [Planted(**row) for row in rows if row["conversation"] in wanted]


def client_ids(path: Path) -> list[str]:
    """The clients' ids of the conversations in an NDJSON file."""
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]


def clean_texts(settings: Settings, app: str, ids: Iterable[str]) -> dict[str, str]:
    """All clean text of each conversation, by the client's id; empty for those that curation rejected."""
    store = open_store(settings)
    try:
        vault = open_vault(settings, store)
        texts = {}
        with store.read() as session:
            app_id = session.exec(select(App.id).where(col(App.name) == app)).one()
            for client in ids:
                hashed = vault.conversation_hash(app_id, client)
                query = (
                    select(CleanMessage, Person)
                    .join(Conversation, col(Conversation.id) == col(CleanMessage.conversation_id))
                    .join(Person, col(Person.id) == col(Conversation.person_id))
                    .where(col(Conversation.app_id) == app_id, col(Conversation.client_hmac) == hashed)
                )
                parts = []
                for clean, person in session.exec(query).all():
                    key = vault.open_person_key(person.id, wrapped_key(session, person.id) or b"")
                    parts.append(key.unseal(clean.sealed, clean_place(clean.message_id, clean.revision)).decode())
                texts[client] = "\n".join(parts)
        return texts
    finally:
        store.close()


def measure(planted: Iterable[Planted], clean: Mapping[str, str], home: Path) -> dict[str, Any]:
    """Counts per entity of planted, found (no longer there) and leaked (still in the clean text), and bytes on disk.

    Args:
        clean: the clean text by client id; a conversation that curation rejected has none, and leaks nothing.
        home: searched byte by byte for every planted value, logs and database files included.
    """
    rows = list(planted)
    total: Counter[str] = Counter(row.entity for row in rows)
    leaked: Counter[str] = Counter(row.entity for row in rows if _is_in(row, clean.get(row.conversation, "")))
    on_disk = search_bytes(home, {row.value for row in rows if len(row.value) >= 6})
    return {
        "planted": dict(total),
        "found": {entity: count - leaked[entity] for entity, count in total.items()},
        "leaked": {entity: leaked[entity] for entity in sorted(set(total) | set(MUST_NOT_LEAK))},
        "on_disk": {str(path.relative_to(home)): count for path, count in on_disk.items()},
    }


def search_bytes(folder: Path, values: Iterable[str]) -> dict[Path, int]:
    """How many of the values stand, in UTF-8, in each file under the folder; files without any are left out."""
    needles = [value.encode() for value in values]
    found: dict[Path, int] = defaultdict(int)
    for path in folder.rglob("*"):
        if not path.is_file() or path.is_symlink() or path.stat().st_size == 0:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            hits = sum(1 for needle in needles if data.find(needle) >= 0)
        if hits:
            found[path] = hits
    return dict(found)


def _is_in(row: Planted, text: str) -> bool:
    """True if the value, or for numbers its digits without separators, stands in the text."""
    if row.value in text or fold(row.value, "NFKC_casefold") in fold(text, "NFKC_casefold"):
        return True
    digits = re.sub(r"\D", "", fold(row.value, "NFKC_casefold"))
    return len(digits) >= 9 and digits in re.sub(r"(?<=\d)[\s./_-]+(?=\d)", "", fold(text, "NFKC_casefold"))
