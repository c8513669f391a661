"""What an import stored, read back from the database and put as lines that people can read:

0      user: How hot?
1 < 0  assistant: 75. | think: It is green. | call kettle({"cup": 2}) as c-1 | model m
vote   1 up by u-7 | reason clear | comment thanks | source judge
fixed  1 by rev-3: 75 degrees.
better 2 than 1 by u-7
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Session, select

from service.ingest.body import decode
from service.ingest.importers.counts import Counts
from service.ingest.importers.items import Options
from service.ingest.importers.post import direct_post, http_post
from service.ingest.importers.reading import find_work
from service.ingest.importers.ready import Terms
from service.ingest.importers.run import import_work, scratch_folder
from service.ingest.importers.table import FORMATS, find_format
from service.ingest.importers.thumbs import read_thumbs
from service.store import tables
from service.store.people import wrapped_key
from service.store.session import Store
from service.vault import PersonKeys, Vault, comment_place, raw_place, text_key

NAMES = ("u-1", "u-7", "u-8", "rev-3", "acc-9", "judge", "ana@tea.invalid", "bo@tea.invalid")


def imported(
    store: Store,
    vault: Vault,
    path: Path,
    *,
    format: str | None = None,
    user: str | None = "u-1",
    score: tuple[str, ...] = (),
    up: tuple[str, ...] = (),
    answers: bool = True,
    url: str | None = None,
) -> Counts:
    """The counts of an import of this path, straight into the database or through a server at `url`."""
    formats = FORMATS if format is None else (find_format(format),)
    home = path.parent / ".home"
    home.mkdir(exist_ok=True)
    options = Options(app="default", user=user, thumbs=read_thumbs(score, up, ()))
    terms = Terms(consent=True, learns_answers=answers)
    work = find_work(path, formats, scratch_folder(home))
    with direct_post(store, vault) if url is None else http_post(url) as post:
        return import_work(path, work, post, home, options, terms)[0]


def stored(store: Store, vault: Vault) -> list[str]:
    """The lines of everything in the database, one conversation after the other."""
    with store.read() as session:
        reader = _Reader(session, vault)
        return [line for row in session.exec(select(tables.Conversation)) for line in reader.lines(row)]


@dataclass
class _Reader:
    session: Session
    vault: Vault

    def lines(self, row: tables.Conversation) -> Iterator[str]:
        found = select(tables.Message).where(tables.Message.conversation_id == row.id).order_by(tables.Message.position)
        corrections = self._corrections(row)
        messages = [one for one in self.session.exec(found) if one.id not in corrections]
        places = {message.id: at for at, message in enumerate(messages)}
        keys = PersonKeys(self.vault, wrapped_key, self.session)
        owner = keys(row.person_id)
        assert owner is not None
        for at, message in enumerate(messages):
            parent = "" if message.parent_id is None else f" < {places[message.parent_id]}"
            yield f"{at}{parent} {_said(message, owner)}"
        yield from self._votes(row, {message.client_hmac: at for at, message in enumerate(messages)}, keys)
        for correction in corrections.values():
            message = self.session.get(tables.Message, correction.message_id)
            writer = keys(correction.person_id)
            assert message is not None and message.sealed is not None and writer is not None
            text = text_key(owner, writer).unseal(message.sealed, raw_place(message.id)).decode()
            name = self._name(row, self._hmac(correction.person_id))
            yield f"fixed {places[correction.corrected_message_id]} by {name}: {text}"
        yield from self._comparisons(row, {message.client_hmac: at for at, message in enumerate(messages)})

    def _corrections(self, row: tables.Conversation) -> dict[str, tables.Correction]:
        found = select(tables.Correction).join(tables.Message, tables.Message.id == tables.Correction.message_id)
        found = found.where(tables.Message.conversation_id == row.id)
        return {one.message_id: one for one in self.session.exec(found)}

    def _votes(self, row: tables.Conversation, places: Mapping[str, int], keys: PersonKeys) -> Iterator[str]:
        for vote in self.session.exec(select(tables.Vote).order_by(tables.Vote.value)):
            if vote.message_hmac in places:
                extra = {"reason": vote.reason, "comment": self._comment(vote, keys)}
                extra["source"] = None if vote.source == "person" else vote.source
                said = "".join(f" | {name} {value}" for name, value in extra.items() if value)
                side = {1: "up", -1: "down"}[vote.value]
                yield f"vote {places[vote.message_hmac]} {side} by {self._name(row, vote.rater_hmac)}{said}"

    def _comment(self, vote: tables.Vote, keys: PersonKeys) -> str | None:
        if vote.sealed_comment is None:
            return None
        person = self.session.exec(select(tables.Person.id).where(tables.Person.hmac == vote.rater_hmac)).one()
        key = keys(person)
        assert key is not None
        return key.unseal(vote.sealed_comment, comment_place(vote.id)).decode()

    def _comparisons(self, row: tables.Conversation, places: Mapping[str, int]) -> Iterator[str]:
        for one in self.session.exec(select(tables.Comparison)):
            pair = (one.first_hmac, one.second_hmac) if one.value == 1 else (one.second_hmac, one.first_hmac)
            if pair[0] in places:
                yield f"better {places[pair[0]]} than {places[pair[1]]} by {self._name(row, one.rater_hmac)}"

    def _hmac(self, person: str) -> str:
        return self.session.exec(select(tables.Person.hmac).where(tables.Person.id == person)).one()

    def _name(self, row: tables.Conversation, hmac: str) -> str:
        """Who it is, of those whom samples name; else whether it is the person of the conversation."""
        other = "its person" if hmac == self._hmac(row.person_id) else "somebody else"
        return next((name for name in NAMES if self.vault.person_hash(row.app_id, name) == hmac), other)


def _said(message: tables.Message, key: Any) -> str:
    assert message.sealed is not None
    body = decode(key.unseal(message.sealed, raw_place(message.id)), message.structured)
    calls = [f"call {one.name}({one.arguments}) as {one.id}" for one in body.tool_calls]
    extra = [
        f"think: {body.reasoning}" if body.reasoning else "",
        *calls,
        f"answers {body.tool_call_id}" if body.tool_call_id else "",
        f"named {body.name}" if body.name else "",
        *(f"dropped {part.type}" for part in body.parts),
        f"model {message.model}" if message.model else "",
        message.state if message.state != "complete" else "",
        "not learnt" if body.weight == 0 else "",
    ]
    return " | ".join(filter(None, [f"{message.role}: {body.content}", *extra]))
