"""A home that the code of an earlier commit made, in the middle of a round: tests/data/home-before-the-house/README.md."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import col, func, select

from pipelines.artifacts import Attempt, read_records, write_records
from pipelines.context import Journal, RoundContext, RoundResult
from pipelines.recipe import Recipe
from pipelines.records import Corpus, RatedConversation, SnapshotItem
from service.corpus import StoreCorpus
from service.rounds import requests
from service.rounds.execution import execute
from service.settings import Settings
from service.store import models, rounds, tables
from service.store.session import Store, migrate, open_store
from service.vault import open_vault
from tests.conftest import make_settings
from tests.factories import web

ARCHIVE = Path(__file__).resolve().parents[1] / "data" / "home-before-the-house" / "home.tar.xz"
CONVERSATIONS = 53


@pytest.fixture
def old_home(tmp_path: Path) -> Settings:
    """The home, migrated, with stand-ins where the weights of its two models were."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    settings = make_settings(tmp_path)
    migrate(settings)
    for file in ("models/tiny-origin-d7ab4816/model.gguf", "rounds/0001/attempt-1/export/model.gguf"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"GGUF")
    return settings


@pytest.fixture
def old_store(old_home: Settings) -> Iterator[Store]:
    opened = open_store(old_home)
    yield opened
    opened.close()


def test_its_conversations_are_there_and_their_text_opens_with_its_key(old_home: Settings, old_store: Store) -> None:
    corpus = StoreCorpus(old_store, open_vault(old_home, old_store))

    found = list(corpus.candidates())

    assert len(found) == CONVERSATIONS
    assert any("capital" in message.text for one in found for message in one.messages)
    assert sum(bool(message.ratings) for one in found for message in one.messages) > 20


def test_the_chat_that_its_champion_answered_is_kept_with_its_vote(old_home: Settings, old_store: Store) -> None:
    with old_store.read() as session:
        answer = session.exec(select(tables.Message).where(col(tables.Message.served_by).is_not(None))).one()
    corpus = StoreCorpus(old_store, open_vault(old_home, old_store))

    found = next(one for one in corpus.candidates() if one.conversation == answer.conversation_id)

    assert answer.served_by == "small-r0001-a1" and found.consent
    assert [(one.role, one.text, one.up) for one in found.messages] == [
        ("user", "Which capital does Koduni have?", 0),
        ("assistant", "The capital of Koduni is Leza.", 1),
    ]


def test_its_champion_and_both_promotions_are_kept(old_store: Store) -> None:
    with old_store.read() as session:
        champion = models.champion_id(session)
        history = [(row.model_id, row.kind, row.override_reason) for row in models.promotions(session)]

    assert champion == "small-r0001-a1"
    assert history == [("tiny-origin-d7ab4816", "first", None), ("small-r0001-a1", "promote", "the origin knows less")]


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/", ["small-r0001-a1", "53"]),
        ("/rounds", ["small", "inconclusive", "running"]),
        ("/rounds/1", ["tiny_kmmlu", "needs at least 200 items", "Training loss from", "<svg", "kto"]),
        ("/rounds/2", ["train", "running"]),
        ("/models", ["small-r0001-a1", "tiny-origin-d7ab4816", "the origin knows less"]),
    ],
)
def test_its_pages_show_the_finished_round_and_the_running_one(old_home: Settings, path: str, parts: list[str]) -> None:
    with web(old_home) as client:
        page = client.get(path)

    assert page.status_code == 200
    assert [part for part in parts if part not in page.text] == []


def test_the_api_gives_the_finished_round_with_its_reports(old_home: Settings) -> None:
    with web(old_home) as client:
        found = client.get("/v1/rounds/1").json()

    assert (found["state"], found["models"]) == ("inconclusive", ["small-r0001-a1"])
    assert [Path(name).name for name in found["attempts"][0]["reports"]] == ["report.md", "report.json"]
    assert json.loads((old_home.rounds / "0001/attempt-1/report/report.json").read_text())["verdict"] == "inconclusive"


class OneStageAgain:
    """A run_round that takes the snapshot anew, as stages do whose key says more than the old code's, and ends."""

    def __init__(self, conversations: int) -> None:
        self.conversations = conversations
        self.recipe: Recipe | None = None
        self.context: RoundContext | None = None

    def __call__(
        self, recipe: Recipe, attempt: Attempt, corpus: Corpus, context: RoundContext, journal: Journal
    ) -> RoundResult:
        self.recipe, self.context = recipe, context
        journal.started("snapshot")
        with attempt.writing("snapshot", "a key of today") as folder:
            items = [_item(one) for one in list(corpus.candidates())[: self.conversations]]
            write_records(folder / "items.jsonl", items)
            manifest = attempt.seal("snapshot", folder, "a key of today", Recipe.model_validate(recipe), 1.0)
        journal.finished("snapshot", manifest, ran=True)
        return RoundResult(outcome="inconclusive", reasons=("too few items",), counts={})


def _item(one: RatedConversation) -> SnapshotItem:
    return SnapshotItem(
        conversation=one.conversation, person=one.person, outcome="used", reason="train", part="train", digest="1"
    )


def test_its_running_round_is_claimed_and_starts_its_stage_again(old_home: Settings, old_store: Store) -> None:
    vault = open_vault(old_home, old_store)
    claimed = requests.claim_round(old_store, "host:1:a", 60)
    assert claimed is not None and claimed[1].round_id == 2
    run = OneStageAgain(conversations=7)

    assert execute(old_home, old_store, vault, claimed[1], run) == "inconclusive"

    assert run.recipe is not None and run.recipe.name == "small"
    assert run.context is not None and run.context.champion is not None
    assert run.context.champion.id == "small-r0001-a1"
    folder = old_home.rounds / "0002" / "attempt-1" / "snapshot"
    with old_store.read() as session:
        attempt = rounds.attempts(session, 2)[0]
        stage = rounds.find_stage(session, attempt.id or 0, "snapshot")
        assert stage is not None and stage.fence == 2
        items = session.exec(select(tables.SnapshotItem).where(tables.SnapshotItem.round_id == 2)).all()
        snapshot = rounds.get_snapshot(session, 2)
        fates = session.exec(
            select(func.count()).select_from(tables.FeedbackFate).where(tables.FeedbackFate.round_id == 2)
        ).one()
    # whom the model learned from is what the stage that ran says, not what the one before it said
    assert {item.conversation_id for item in items} == {
        one.conversation for one in read_records(folder / "items.jsonl", SnapshotItem)
    }
    assert len(items) == 7 and fates == 0 and snapshot is not None and snapshot.digest == stage.digest
