"""Whom `perennial models ask` asks where nobody is named."""

import pytest

from pipelines.errors import InputError, NotFound
from service.models.answers import ask_on, whom_to_ask
from service.settings import Settings
from service.store.session import Store
from tests.service.served import add_model, add_round, crown


def test_the_origin_the_champion_and_the_newest_candidate_are_asked_each_once(store: Store, settings: Settings) -> None:
    with store.read() as session:
        assert whom_to_ask(session, ()) == []
    add_model(store, settings, "origin", kind="origin", verdict=None)
    crown(store, "origin")
    add_round(store, counts={"champion": "origin"})
    add_model(store, settings, "older", round_id=1)
    add_model(store, settings, "newer", round_id=1)
    with store.read() as session:
        asked = [(one.model.model.id, one.role) for one in whom_to_ask(session, ())]
        assert asked == [("origin", "origin, champion"), ("newer", "newest candidate")]
        assert [one.model.model.id for one in whom_to_ask(session, ["older"])] == ["older"]
        with pytest.raises(NotFound):
            whom_to_ask(session, ["nobody"])


def test_a_chat_is_answered_as_long_as_the_context_has_room(store: Store, settings: Settings) -> None:
    add_model(store, settings, "origin", kind="origin", verdict=None)
    with store.read() as session:
        form = whom_to_ask(session, ())[0].model.form
    assert form is not None
    [said] = ask_on(settings.home, form, [[{"role": "user", "content": "Say much."}]], max_tokens=1_000_000)
    assert said
    with pytest.raises(InputError, match="exceed"):
        ask_on(settings.home, form, [[{"role": "user", "content": "word " * 20_000}]], max_tokens=8)
