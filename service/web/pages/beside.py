"""A second answer on the page Chat: another model of this home says what it would have said, recorded beside the champion's.

It is asked in a process of its own, as the engine serves one model; greedily, where the champion draws. What people prefer of
the two is a comparison like any other.
"""

from collections.abc import Mapping, Sequence

from starlette.concurrency import run_in_threadpool

from pipelines.errors import NotFound
from service.chat.openai import ChatMessage
from service.chat.place import Turn, place
from service.chat.reply import Record
from service.ingest import Writer
from service.models.answers import ask_on, one_comparison
from service.settings import Settings
from service.store import models
from service.store.models import StoredModel
from service.store.session import Store
from service.store.tables import ServedForm, now
from service.vault import Vault
from service.web.pages.own_chats import CHAT_APP
from service.web.pages.reading import TurnView

_OFFERED = 5


def others(store: Store) -> list[str]:
    """Ids of the newest models that could be asked beside the champion."""
    with store.read() as session:
        champion = models.champion_id(session)
        return [one.model.id for one in models.list_models(session) if _can_answer(one, champion)][:_OFFERED]


async def answer_beside(
    settings: Settings,
    store: Store,
    vault: Vault,
    writer: Writer,
    form: ServedForm,
    by: str,
    name: str,
    messages: Sequence[ChatMessage],
    consent: bool,
    max_tokens: int,
) -> None:
    """Has a model answer, and records its answer as a sibling of the champion's.

    Raises:
        Busy: another comparison is being made.
        GGUFError, ChildCrashed: it cannot be loaded. Conflict: the answer cannot be stored.
    """
    turns = [Turn(one.plain_role, one.text) for one in messages]
    chat = [{"role": turn.role, "content": turn.content} for turn in turns]
    with one_comparison():
        [text] = await run_in_threadpool(ask_on, settings.home, form, [chat], max_tokens)
    at = now()
    placed = await run_in_threadpool(place, store, vault, CHAT_APP, by, turns, name, at)
    record = Record(writer, CHAT_APP, by, consent, {}, placed, at)
    await record.open()
    await record.close(text, "", (), form.model_id, True)


def in_any_order(turns: Sequence[TurnView], parents: Mapping[str, str | None]) -> list[TurnView]:
    """The turns, answers to one message that stand together by their ids, which tell nothing of who wrote them first."""
    ordered: list[TurnView] = []
    for turn in turns:
        place_ = len(ordered)
        while place_ and _are_beside(ordered[place_ - 1], turn, parents) and ordered[place_ - 1].id > turn.id:
            place_ -= 1
        ordered.insert(place_, turn)
    return ordered


def _are_beside(one: TurnView, other: TurnView, parents: Mapping[str, str | None]) -> bool:
    return one.is_answer and other.is_answer and parents[one.id] == parents[other.id]


def form_of(store: Store, model_id: str) -> ServedForm:
    """What would answer beside the champion. Raises NotFound: there is no such model, or it cannot."""
    with store.read() as session:
        entry, champion = models.get_model(session, model_id), models.champion_id(session)
    if entry.form is None or not _can_answer(entry, champion):
        raise NotFound(f"the model '{model_id[:80]}' cannot be asked beside the champion; choose one of the list")
    return entry.form


def _can_answer(entry: StoredModel, champion: str | None) -> bool:
    present = entry.form is not None and entry.form.collected_at is None
    return present and entry.model.id != champion and entry.model.tainted_at is None
