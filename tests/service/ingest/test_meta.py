"""What is sealed beside a conversation outlives turns that are sent without it."""

from sqlmodel import select

from service.ingest.meta import Meta, read_meta
from service.store.people import wrapped_key
from service.store.session import Store
from service.store.tables import Conversation
from service.vault import Vault, meta_place
from tests.factories import conversation, put

TOOLS = [{"name": "weather", "parameters": {"type": "object"}}]
GROWN = {"id": "m-2", "role": "assistant", "content": "Warm.", "parent": "m-1"}


def stored(store: Store, vault: Vault) -> Meta:
    with store.read() as session:
        row = session.exec(select(Conversation)).one()
        key = vault.open_person_key(row.person_id, wrapped_key(session, row.person_id) or b"")
    return read_meta(key.unseal(row.sealed_meta, meta_place(row.id)))


def test_tools_hints_and_metadata_stay_where_a_further_turn_comes_without_them(store: Store, vault: Vault) -> None:
    first = [{"id": "m-1", "role": "user", "content": "Is it warm?"}]
    said = {"tools": TOOLS, "metadata": {"screen": "home"}, "model": "qwen3", "hints": {"language": "en"}}
    put(store, vault, conversation(id="c", messages=first, **said))
    assert [one.result for one in put(store, vault, conversation(id="c", messages=[*first, GROWN]))] == ["appended"]
    meta = stored(store, vault)
    assert [tool.name for tool in meta.tools] == ["weather"] and meta.metadata == {"screen": "home"}
    assert meta.model == "qwen3" and meta.hints == {"language": "en", "topic": None}


def test_what_a_further_turn_says_anew_counts(store: Store, vault: Vault) -> None:
    first = [{"id": "m-1", "role": "user", "content": "Is it warm?"}]
    put(store, vault, conversation(id="c", messages=first, model="qwen3", tools=TOOLS))
    put(store, vault, conversation(id="c", messages=[*first, GROWN], model="gemma", tools=[{"name": "sun"}]))
    meta = stored(store, vault)
    assert meta.model == "gemma" and [tool.name for tool in meta.tools] == ["sun"]
