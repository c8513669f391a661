"""What stops the wheel: each obstacle provoked for real, and none where everything is in place."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlmodel import select

from pipelines.errors import PerennialError
from pipelines.recipe import Recipe
from pipelines.recipe_file import load_recipe
from service.erasure import forget
from service.ingest.losses import Losses
from service.ingest.spool import Spool
from service.models.origin import make_first_champion, read_preparation
from service.obstacles import Obstacle, find_obstacles
from service.room import free_bytes
from service.settings import Settings
from service.store import health, tables
from service.store.session import Store
from service.store.tables import now
from service.store.trainable import TrainableWatch, count_trainable
from service.vault import Vault
from tests.factories import conversation, correct, put, vote
from tests.service.live import running
from tests.service.rated import add_person, add_rated
from tests.service.served import add_model, add_round, crown

Change = Callable[..., Settings]


def by_name(settings: Settings, store: Store, recipe: Recipe | None = None) -> dict[str, Obstacle]:
    return {one.name: one for one in find_obstacles(settings, store, recipe)}


def small_recipe(settings: Settings, min_examples: int = 1) -> Recipe:
    """The tiny recipe, content with a few examples."""
    return load_recipe(settings.recipe_path).model_copy(update={"min_examples": min_examples, "phases": ()})


def test_without_a_way_to_find_names_what_waits_is_told_with_the_cure(
    settings: Settings, store: Store, vault: Vault, with_settings: Change
) -> None:
    assert "wait" not in by_name(settings, store)["names_unset"].sentence
    put(store, vault, conversation())
    found = by_name(settings, store)["names_unset"]
    assert "(1 wait)" in found.sentence and "--names rules" in found.cure and found.degrades
    assert "names_unset" not in by_name(with_settings(allow_degraded_names=True), store)


def test_a_names_model_that_is_not_there_is_told(store: Store, with_settings: Change) -> None:
    found = by_name(with_settings(ner_model="no_such_model"), store)
    assert "'no_such_model' is neither" in found["names_unusable"].sentence and "names_unset" not in found


def test_a_worker_that_never_was_or_fell_silent_is_told(settings: Settings, store: Store) -> None:
    assert "was ever seen" in by_name(settings, store)["worker_gone"].sentence
    health.beat(store, "host:1")
    assert "worker_gone" not in by_name(settings, store)
    with store.begin() as session:
        session.execute(update(tables.WorkerSeen).values(at=now() - timedelta(minutes=2)))
    assert "for 120 s" in by_name(settings, store)["worker_gone"].sentence


def test_curation_is_stuck_only_where_a_worker_is_there_and_could_do_it(
    settings: Settings, store: Store, vault: Vault, with_settings: Change
) -> None:
    put(store, vault, conversation())
    with store.begin() as session:
        session.execute(update(tables.Conversation).values(received_at=now() - timedelta(minutes=10)))
    named = with_settings(allow_degraded_names=True)
    assert "curation_stuck" not in by_name(named, store)
    health.beat(store, "host:1")
    assert "1 conversations wait for curation, the oldest for 600 s" in by_name(named, store)["curation_stuck"].sentence
    assert "curation_stuck" not in by_name(settings, store)


def test_a_champion_without_its_file_or_an_engine_is_told(settings: Settings, store: Store) -> None:
    path = add_model(store, settings, "first")
    crown(store, "first")
    found = by_name(settings, store)
    assert "perennial engine" in found["engine_gone"].cure and "champion_missing" not in found
    path.unlink()
    found = by_name(settings, store)
    assert "models/first/model.gguf" in found["champion_missing"].sentence and "engine_gone" not in found
    assert str(settings.home) not in found["champion_missing"].sentence


def test_a_champion_whose_file_was_changed_is_told_in_the_engines_words(sqlite_settings: Settings) -> None:
    with running(sqlite_settings) as live:
        path = add_model(live.store, sqlite_settings, "first")
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        crown(live.store, "first")
        deadline = time.monotonic() + 90
        while "engine_refuses" not in (found := by_name(sqlite_settings, live.store)):
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        assert "has changed" in found["engine_refuses"].sentence
        assert str(sqlite_settings.home) not in found["engine_refuses"].sentence


def test_a_champion_that_learned_from_a_forgotten_person_is_told(
    settings: Settings, store: Store, vault: Vault
) -> None:
    put(store, vault, conversation(user="ana"))
    add_model(store, settings, "learned", round_id=add_round(store))
    with store.begin() as session:
        row = session.exec(select(tables.Conversation)).one()
        session.add(
            tables.SnapshotItem(
                round_id=1, conversation_id=row.id, person_id=row.person_id, outcome="used", reason="train"
            )
        )
    crown(store, "learned")
    assert "champion_tainted" not in by_name(settings, store)
    forget(store, vault, "default", "ana")
    found = by_name(settings, store)["champion_tainted"]
    assert "'learned' learned from a person who was erased" in found.sentence and "7 days later" in found.cure


def test_a_home_without_a_champion_is_told_and_why_if_one_was_tried(
    settings: Settings, store: Store, with_settings: Change, tmp_path: Path
) -> None:
    found = by_name(settings, store)["no_champion"]
    assert "perennial origin" in found.cure and not found.degrades
    recipe = tmp_path / "nowhere.yaml"
    recipe.write_text((settings.recipe_path).read_text().replace("models/tiny", "models/nowhere"))
    changed = with_settings(recipe=str(recipe))
    with pytest.raises(PerennialError, match="nowhere"):
        make_first_champion(changed, store, "test")
    found = by_name(changed, store)["no_champion"]
    assert "could not be made" in found.sentence and "nowhere" in found.sentence and found.degrades


def test_a_preparation_whose_process_is_gone_is_no_preparation(tmp_path: Path) -> None:
    (tmp_path / "origin.json").write_text('{"pid": 1, "recipe": "r.yaml", "problem": null}')
    assert read_preparation(tmp_path) is not None
    (tmp_path / "origin.json").write_text('{"pid": 4194305, "recipe": "r.yaml", "problem": null}')
    assert read_preparation(tmp_path) is None


def test_a_disk_is_told_before_it_is_too_full_for_rounds(store: Store, with_settings: Change) -> None:
    assert not {"disk_low", "disk_full"} & by_name(with_settings(min_free_bytes=1), store).keys()
    free = free_bytes(with_settings())
    low = by_name(with_settings(min_free_bytes=free // 2), store)
    assert "rounds stop below" in low["disk_low"].sentence and not low["disk_low"].degrades and "disk_full" not in low
    full = by_name(with_settings(min_free_bytes=free * 2), store)
    assert "rounds wait, conversations are still stored" in full["disk_full"].sentence and "disk_low" not in full
    assert "perennial gc" in full["disk_full"].cure and full["disk_full"].degrades


def test_conversations_without_rating_or_consent_are_counted_while_too_few_can_train(
    settings: Settings, store: Store, vault: Vault
) -> None:
    person = add_person(store, vault)
    add_rated(store, vault, person, "q", "Rated.")
    add_rated(store, vault, person, "q", "Unrated.", satisfaction=None)
    add_rated(store, vault, person, "q", "Voted.", satisfaction=None, votes={1: [1]}, consent=None)
    found = by_name(settings, store)
    assert "and finds 1: 1 of 3 clean ones are not rated" in found["unrated"].sentence
    assert "1 of 3 clean ones have no consent" in found["consent"].sentence
    assert not found["unrated"].degrades and not found["consent"].degrades
    assert {"unrated", "consent"}.isdisjoint(by_name(settings, store, small_recipe(settings)))


def test_votes_and_corrections_that_stand_are_ratings_and_those_taken_back_are_not(
    settings: Settings, store: Store, vault: Vault
) -> None:
    def given(id: str) -> dict[str, object]:
        messages = [
            {"id": f"{id}-q", "role": "user", "content": "Hi"},
            {"id": id, "role": "assistant", "content": "Yes"},
        ]
        return conversation(id=f"c-{id}", messages=messages, consent=True)

    put(store, vault, given("a"), given("b"), given("c"))
    with store.begin() as session:
        session.execute(update(tables.Conversation).values(state="clean"))

    def unrated() -> int:
        with store.read() as session:
            return count_trainable(session, 10).unrated

    assert unrated() == 3
    vote(store, vault, "a", 1)
    correct(store, vault, "b", "It is Tilu.")
    with store.begin() as session:  # a correction makes its conversation due again
        session.execute(update(tables.Conversation).values(state="clean"))
    assert unrated() == 1
    vote(store, vault, "a", 0)
    correct(store, vault, "b", None)
    with store.begin() as session:
        session.execute(update(tables.Conversation).values(state="clean"))
    assert unrated() == 3


def test_a_watch_counts_again_only_after_a_while(store: Store, vault: Vault) -> None:
    watch = TrainableWatch(store)
    assert watch(10).clean == 0
    add_rated(store, vault, add_person(store, vault), "q", "Rated.")
    assert watch(10).clean == 0
    deadline = time.monotonic() + 60  # twenty times what counting took, on a machine that may be busy
    while watch(10).ready != 1:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_recipe_that_cannot_be_read_is_told(store: Store, with_settings: Change) -> None:
    assert "nowhere.yaml" in by_name(with_settings(recipe="nowhere.yaml"), store)["recipe_unusable"].sentence


def test_where_everything_is_in_place_nothing_stops_you(sqlite_settings: Settings) -> None:
    settings = replace(sqlite_settings, allow_degraded_names=True, min_free_bytes=1)
    with running(settings) as live:
        add_model(live.store, settings, "first")
        crown(live.store, "first")
        health.beat(live.store, "host:1")
        add_rated(live.store, live.vault, add_person(live.store, live.vault), "q", "Rated.")
        live.wait_for_model("first")
        deadline = time.monotonic() + 30
        while find_obstacles(settings, live.store, small_recipe(settings)):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_chats_that_passed_and_are_not_stored_or_not_recorded_are_told(
    settings: Settings, store: Store, vault: Vault, with_settings: Change
) -> None:
    assert not {"spool_full", "chats_waiting", "chats_lost"} & set(by_name(settings, store))
    Spool(settings.spool, vault, settings.spool_bytes).put([("1", b"a chat")])
    assert "chats_waiting" not in by_name(settings, store)
    old = time.time() - 400
    os.utime(settings.spool / "1.chat", (old, old))
    found = by_name(settings, store)["chats_waiting"]
    assert found.sentence.startswith("1 chats that passed the proxy wait on disk") and found.degrades
    assert (
        "chats_waiting" not in (full := by_name(with_settings(spool_bytes=35), store)) and full["spool_full"].degrades
    )
    losses = Losses(settings.home)
    losses.count("unnamed")
    losses.count("forgotten")
    losses.keep()
    lost = by_name(settings, store)["chats_lost"]
    assert (
        lost.sentence == "of the chats that passed the proxy so far, 1 named no person"
        and "X-Perennial-User" in lost.cure
    )
