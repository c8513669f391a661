"""From the bytes of an exchange to what ingest stores: read, placed in its conversation, named.

The answer is called as its asker said, or else as the upstream calls it, so that a vote finds it at once. One whose name
is taken gets one of its own: some upstreams count to a thousand and begin again (ingest/reused.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from pipelines.errors import DataError
from service.chat.place import Placement, Turn, place, place_after, place_anew
from service.ingest import Incoming, NewMessage, describe, parse_noted, prepare
from service.ingest.wire import ToolIn
from service.proxy.completions import read_completion
from service.proxy.exchange import Exchange
from service.proxy.reading import Reading, parse_object, unpack
from service.proxy.responses import read_response
from service.store.session import Store
from service.vault import Vault

_MAX_ANSWERS = 2_000
_LONGEST_NAME = 250
_OURS = ("conversation_id", "consent", "app", "user", "user_id")
_TRUE, _FALSE = (True, "true"), (False, "false")


class Elsewhere(DataError):
    """The upstream alone has what came before."""


@dataclass(frozen=True)
class Said:
    """An exchange as ingest's messages: the turns that were asked, and the answers to the last of them."""

    exchange: Exchange
    reading: Reading
    asked: tuple[NewMessage, ...]
    answers: tuple[NewMessage, ...]
    tools: tuple[ToolIn, ...]

    @property
    def name(self) -> str | None:
        """What its asker, or else the upstream, calls the answer; None if neither says it in a way that can be kept."""
        name = self.exchange.who.answer or self.reading.answer_id
        return None if name is None or len(name) > _LONGEST_NAME or "\0" in name else name

    @property
    def user(self) -> str:
        """Whose chat it is; without a person nothing gets here."""
        assert self.exchange.who.user is not None
        return self.exchange.who.user


def read(exchange: Exchange) -> Reading:
    """What was said in an exchange.

    Raises:
        DataError: it is none of the API that it went through.
    """
    request = parse_object(unpack(exchange.request, exchange.request_encoding))
    answer = unpack(exchange.answer, exchange.answer_encoding)
    reader = read_completion if exchange.kind == "chat" else read_response
    return reader(request, answer, exchange.is_stream, exchange.end == "whole")


def understand(exchange: Exchange) -> Said | None:
    """The exchange as ingest's messages; None if nothing was answered.

    Raises:
        DataError: it cannot be stored; an Elsewhere if only the upstream has its history.
    """
    reading = read(exchange)
    if not reading.answers or not reading.turns:
        return None
    if reading.is_elsewhere:
        raise Elsewhere("the upstream alone has the history of this chat")
    at = datetime.fromtimestamp(exchange.at, UTC)
    row: dict[str, Any] = {"id": exchange.id, "user": exchange.who.user, "messages": [*reading.turns, *reading.answers]}
    given, _ = parse_noted(msgspec.json.encode(row | {"tools": reading.tools}))
    messages = prepare(given, exchange.who.app, at).messages
    return Said(exchange, reading, messages[: len(reading.turns)], messages[len(reading.turns) :], given.tools)


def attempts(store: Store, vault: Vault, said: Said, consent: bool | None) -> Iterator[Incoming]:
    """What to store of an exchange, and what instead where a name in it is taken: the answer under a name of its own, and
    then all of it in a conversation of its own. `consent` is for where the exchange says nothing.

    Raises:
        Elsewhere: it goes on from an answer that is not stored.
        SQLAlchemyError: the database does not answer.
    """
    exchange, turns = said.exchange, _turns(said)
    app, previous = exchange.who.app, said.reading.previous
    own_name, own_conversation = f"answer-{exchange.id}", f"chat-{exchange.id}"
    if previous is None:
        named = exchange.who.conversation or _named(said.reading, "conversation_id")
        at = datetime.fromtimestamp(exchange.at, UTC)
        placed = place(store, vault, app, said.user, turns, named, at, own_conversation)
    else:
        after = place_after(store, vault, app, said.user, turns, previous)
        if after is None:
            raise Elsewhere("the answer that this chat goes on from is not stored")
        placed = after
    yield _incoming(said, placed, said.name or own_name, consent)
    yield _incoming(said, placed, own_name, consent)
    if previous is None:
        yield _incoming(said, place_anew(turns, own_conversation), own_name, consent)


def _turns(said: Said) -> list[Turn]:
    return [Turn(one.role, one.content, one.body) for one in said.asked]


def _incoming(said: Said, placed: Placement, name: str, consent: bool | None) -> Incoming:
    exchange, at = said.exchange, datetime.fromtimestamp(said.exchange.at, UTC)
    names = [name if number == 0 else f"{name}:{number}" for number in range(len(said.answers))]
    model = (said.reading.model or "")[:256] or None
    answers = [
        msgspec.structs.replace(answer, id=own, parent=placed.parent, model=model)
        for own, answer in zip(names, said.answers, strict=True)
    ]
    known = tuple(dict.fromkeys([*placed.answers, *names]))[-_MAX_ANSWERS:]
    rest = {key: value for key, value in said.reading.metadata.items() if key not in _OURS}
    return Incoming(
        app=exchange.who.app,
        id=placed.conversation_id,
        user=said.user,
        messages=(*placed.new, *answers),
        is_list=False,
        occurred_at=at,
        meta=describe(placed.conversation_id, None, model, rest or None, said.tools, known),
        consent=_consent(said, consent),
    )


def _consent(said: Said, usual: bool | None) -> bool | None:
    """The header's word, else the body's, else what is usual here; where header and body differ it is no consent."""
    header, body = said.exchange.who.consent, said.reading.metadata.get("consent")
    given = {one for one in (header, True if body in _TRUE else False if body in _FALSE else None) if one is not None}
    return usual if not given else given == {True}


def _named(reading: Reading, key: str) -> str | None:
    value = reading.metadata.get(key)
    return value if isinstance(value, str) and 1 <= len(value) <= 256 and "\0" not in value else None
