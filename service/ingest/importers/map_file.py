"""Maps: a YAML file that says which tables and columns of an app's own database or CSV files hold its chats.

    messages: {table: messages, id: id, conversation: chat_id, role: sender, content: body, time: created_at}
    roles: {customer: user, helper: assistant}
    votes: {table: ratings, message: message_id, value: stars, user: customer_id}
    thumbs: {up: [">=4"]}

or, where a row holds a question and its answer: exchanges: {table: log, id: id, question: prompt, answer: reply, value: liked}
docs/importing.md has every key, docs/examples/chat.yaml is an example.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from pipelines.errors import DataError, InputError
from pipelines.plain_yaml import parse_plain_yaml, read_plain_yaml
from pipelines.text import find_nearest
from service.ingest.client_keys import ROLES, ROLES_MEANT
from service.ingest.importers.thumbs import Thumbs, read_thumbs

Scope = Literal["everywhere", "conversation"]


class MessageMap(Struct, frozen=True, forbid_unknown_fields=True):
    """The columns of a table with a message a row; without `table` it is the one file that is imported."""

    conversation: str
    role: str
    content: str
    table: str = ""
    id: str | None = None
    parent: str | None = None
    time: str | None = None
    model: str | None = None
    user: str | None = None
    reasoning: str | None = None
    unique: Scope = "everywhere"


class ExchangeMap(Struct, frozen=True, forbid_unknown_fields=True):
    """The columns of a table with a question and its answer a row; without `conversation` each row is one."""

    question: str
    answer: str
    table: str = ""
    id: str | None = None
    conversation: str | None = None
    system: str | None = None
    time: str | None = None
    model: str | None = None
    user: str | None = None


class ConversationMap(Struct, frozen=True, forbid_unknown_fields=True):
    """The columns of a table with a conversation a row."""

    id: str
    table: str
    user: str | None = None
    time: str | None = None


class VoteMap(Struct, frozen=True, forbid_unknown_fields=True):
    """The columns of a table with a vote a row; rows without a value are none. `message` is the id of an answer."""

    message: str
    value: str
    table: str = ""
    user: str | None = None
    reason: str | None = None
    comment: str | None = None
    time: str | None = None


class CorrectionMap(Struct, frozen=True, forbid_unknown_fields=True):
    """The columns of a table with better answers; rows without one are none."""

    message: str
    content: str
    table: str = ""
    user: str | None = None
    time: str | None = None


class ThumbMap(Struct, frozen=True, forbid_unknown_fields=True):
    """Which values of a vote point up and down."""

    up: list[str | int | float | bool] = []
    down: list[str | int | float | bool] = []


class ChatMap(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole map: messages or exchanges, and what belongs to them."""

    messages: MessageMap | None = None
    exchanges: ExchangeMap | None = None
    conversations: ConversationMap | None = None
    votes: VoteMap | None = None
    corrections: CorrectionMap | None = None
    roles: dict[str, str] = {}
    thumbs: ThumbMap = ThumbMap()

    def role(self, value: object) -> str | None:
        """The role that a value of the role's column stands for; None for one that nobody named."""
        name = str(value).strip()
        return self.roles.get(name) or ROLES.get(name.lower()) or ROLES_MEANT.get(name.lower())

    def thumb_rules(self) -> Thumbs:
        """Which values are thumbs; raises InputError for rules that say nothing."""
        return read_thumbs((), [str(one) for one in self.thumbs.up], [str(one) for one in self.thumbs.down])


Section = MessageMap | ExchangeMap | ConversationMap | VoteMap | CorrectionMap
_SECTIONS = (MessageMap, ExchangeMap, ConversationMap, VoteMap, CorrectionMap, ThumbMap, ChatMap)


def load_map(path: Path) -> ChatMap:
    """The map in a YAML file.

    Raises:
        InputError: it cannot be read, has a key that nobody knows or lacks one; the sentence names it.
    """
    try:
        given = parse_plain_yaml(read_plain_yaml(path, f"the map {path}"), f"the map {path}")
        found = msgspec.convert(_texts_as_keys(given), ChatMap, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"the map {path}: {_sentence(str(error))}") from None
    except DataError as error:
        raise InputError(str(error)) from None
    if (found.messages is None) == (found.exchanges is None):
        raise InputError(f"the map {path} needs one of `messages` (a message a row) and `exchanges` (an answer a row)")
    wrong = next((role for role in found.roles.values() if role not in ROLES), None)
    if wrong is not None:
        raise InputError(f"the map {path}: roles: {wrong[:40]!r} is none of system, user, assistant, tool")
    found.thumb_rules()
    return found


def sections_of(given: ChatMap) -> Iterator[tuple[str, Section]]:
    """The sections that name a table, with their names."""
    for name in ("conversations", "messages", "exchanges", "votes", "corrections"):
        section = getattr(given, name)
        if section is not None:
            yield name, section


def columns_of(section: Section) -> dict[str, str]:
    """The columns that a section names, by what they are to us."""
    names = [field.name for field in msgspec.structs.fields(section) if field.name not in ("table", "unique")]
    return {name: value for name in names if (value := getattr(section, name)) is not None}


def _texts_as_keys(given: object) -> object:
    """The data with the keys of `roles` as texts: YAML reads 0, 1, yes and no as other things."""
    if isinstance(given, dict) and isinstance(given.get("roles"), dict):
        given["roles"] = {_as_text(key): value for key, value in given["roles"].items()}
    return given


def _as_text(key: object) -> str:
    return str(int(key)) if isinstance(key, bool) else str(key)


def _sentence(message: str) -> str:
    unknown = re.search(r"unknown field `(.*?)`", message)
    missing = re.search(r"missing required field `(.*?)`(?: - at `\$\.?(.*?)`)?", message)
    if unknown:
        known = sorted({field.name for one in _SECTIONS for field in msgspec.structs.fields(one)})
        near = find_nearest(unknown[1], known)
        return f"the key `{unknown[1][:60]}` is not known" + (f"; did you mean `{near}`?" if near else "")
    if missing:
        return f"the key `{missing[1]}` is missing" + (f" in `{missing[2]}`" if missing[2] else "")
    return message[:1].lower() + message[1:].replace("`$.", "`")
