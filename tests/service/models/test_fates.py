"""What rounds made of feedback: recorded with the snapshot, shown to apps, asked about by person, tainting when forgotten."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select
from typer.testing import CliRunner

from pipelines import artifacts
from pipelines.artifacts import Attempt
from pipelines.context import Baseline, Journal, RoundContext, RoundResult
from pipelines.errors import NotFound
from pipelines.feedback.reasons import FEEDBACK_REASONS
from pipelines.feedback.reasons import LOST as LOST_REASONS
from pipelines.gate.decide import Check, Verdict
from pipelines.recipe import Recipe
from pipelines.records import Corpus, FeedbackFate, Record, ServedForm
from pipelines.stages.snapshot import Selector, SnapshotOutput, snapshot
from service.cli import app
from service.curation import curate_due
from service.erasure import forget
from service.models import contributions
from service.rounds import requests
from service.rounds.execution import execute
from service.settings import Settings
from service.store import tables
from service.store.session import Store, open_store
from service.vault import Vault, open_vault
from tests.factories import compare, conversation, correct, put, vote, web
from tests.service.curating import shared_curator
from tests.service.rounds.test_rounds import RECIPE
from tests.stand_in_stage import run_stage, runner_of

CHAT = [
    {"id": "q", "role": "user", "content": "What is the capital of Velmora?"},
    {"id": "a", "role": "assistant", "content": "It is Tarsin.", "parent": "q"},
    {"id": "b", "role": "assistant", "content": "It is Osk.", "parent": "q"},
]


class Told:
    """A run_round that takes the real snapshot and says of every vote, correction and comparison what became of it.

    Ups and corrections are used, comparisons held out, downs dropped; what really became of them with `really`.
    """

    def __init__(self, stop_at: str | None = None, down_rule: str = "echo", really: bool = False) -> None:
        self.stop_at, self.down_rule, self.really = stop_at, down_rule, really

    def __call__(
        self, recipe: Recipe, attempt: Attempt, corpus: Corpus, context: RoundContext, journal: Journal
    ) -> RoundResult:
        step = runner_of(attempt, corpus, journal)
        taken = run_stage(
            step, "snapshot", SnapshotOutput, lambda out: _snapshot(corpus, recipe, out, self), recipe.select
        )
        if self.stop_at == "snapshot":
            raise SystemExit("killed")
        check = Check(suite="tiny_math", criterion="margin", outcome="pass", reason="tiny_math: pass")
        return RoundResult(
            outcome="pass",
            reasons=(check.reason,),
            counts=taken.sizes,
            adapter=str(attempt.folder / "train"),
            origin=Baseline(id="tiny-origin-1", form=_form(context.models / "tiny-origin-1" / "model.gguf")),
            candidate=_form(attempt.folder / "export" / "model.gguf"),
            verdict=Verdict(outcome="pass", checks=(check,)),
        )


def _snapshot(corpus: Corpus, recipe: Recipe, out: Path, told: Told) -> SnapshotOutput:
    selector = Selector(count_tokens=len, find_contaminated=lambda texts: [None for _ in texts])
    if told.really:
        return snapshot(corpus, recipe.select, out, selector, now=datetime.now(UTC))
    lines = [fate.model_dump_json() for one in corpus.candidates() for fate in _fates(one, told.down_rule)]
    taken = snapshot(corpus, recipe.select, out, selector, now=datetime.now(UTC))
    (out / "feedback.jsonl").write_text("".join(line + "\n" for line in lines))
    return taken


def _fates(one: Any, down_rule: str) -> list[FeedbackFate]:
    def fate(message: str, rater: str, kind: Any, value: Any, outcome: Any, rule: str, weight: float) -> FeedbackFate:
        return FeedbackFate(
            conversation=one.conversation,
            message=message,
            rater=rater,
            kind=kind,
            value=value,
            outcome=outcome,
            rule=rule,
            weight=weight,
        )

    ratings = [
        fate(
            m.key.message,
            r.rater,
            "vote",
            r.value,
            *(("used", "siblings", 0.5) if r.value > 0 else ("dropped", down_rule, 0.0)),
        )
        for m in one.messages
        for r in m.ratings
    ]
    written = [
        fate(m.corrects.of, m.corrects.rater, "correction", 1, "used", "correction", 1.0)
        for m in one.messages
        if m.corrects
    ]
    compared = [fate(c.chosen, c.rater, "comparison", 1, "held_out", "comparison", 1.0) for c in one.comparisons]
    return ratings + written + compared


def _form(path: Path) -> ServedForm:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(str(path).encode())
    return ServedForm(kind="merged", path=str(path), sha256=artifacts.sha256_of(path))


def learn(settings: Settings, store: Store, vault: Vault, run: Told | None = None) -> str:
    """One round over what is stored: u-1's chat, a vote up of u-2, down of u-3, and a correction of u-4."""
    put(store, vault, conversation(id="c", messages=CHAT, consent=True, satisfaction=5))
    vote(store, vault, "a", 1, "u-2")
    vote(store, vault, "b", -1, "u-3")
    correct(store, vault, "b", "Tarsin, of course.", "u-4")
    compare(store, vault, "a", "b", "u-5")
    curate_due(store, vault, shared_curator())
    requests.request_round(store, RECIPE, "test")
    return go_on(settings, store, vault, run or Told())


def go_on(settings: Settings, store: Store, vault: Vault, run: Told) -> str:
    claimed = requests.claim_round(store, "host:1:a", 60 if run.stop_at is None else -1)
    assert claimed is not None
    return execute(settings, store, vault, claimed[1], run)


def fates(store: Store) -> list[tables.FeedbackFate]:
    with store.read() as session:
        return list(session.exec(select(tables.FeedbackFate)))


def test_a_rounds_fates_are_recorded_once_though_it_was_killed(settings: Settings, store: Store, vault: Vault) -> None:
    with pytest.raises(SystemExit):
        learn(settings, store, vault, Told(stop_at="snapshot"))
    assert go_on(settings, store, vault, Told()) == "passed"
    told = sorted((fate.kind, fate.value, fate.outcome, fate.rule, fate.weight) for fate in fates(store))
    assert told == [
        ("comparison", 1, "held_out", "comparison", 1.0),
        ("correction", 1, "used", "correction", 1.0),
        ("vote", -1, "dropped", "echo", 0.0),
        ("vote", 1, "used", "siblings", 0.5),
    ]


class Fresh(Record):
    """What the execution reads of a preference step's output."""

    replaced: tuple[str, ...]


class Resampling(Told):
    """A run_round whose snapshot could only drop the downs, and whose preference step found fresh answers for them."""

    def __call__(
        self, recipe: Recipe, attempt: Attempt, corpus: Corpus, context: RoundContext, journal: Journal
    ) -> RoundResult:
        result = super().__call__(recipe, attempt, corpus, context, journal)
        bad = tuple(m.key.message for one in corpus.candidates() for m in one.messages if m.down)
        run_stage(runner_of(attempt, corpus, journal), "prefer", Fresh, lambda out: Fresh(replaced=bad))
        return result


def test_votes_on_answers_that_fresh_ones_replaced_are_recorded_as_used(
    settings: Settings, store: Store, vault: Vault
) -> None:
    learn(settings, store, vault, Resampling(down_rule="pairs_only"))
    told = sorted((fate.kind, fate.value, fate.outcome, fate.rule) for fate in fates(store))
    assert told == [
        ("comparison", 1, "held_out", "comparison"),
        ("correction", 1, "used", "correction"),
        ("vote", -1, "used", "resample"),
        ("vote", 1, "used", "siblings"),
    ]


def test_an_app_can_look_up_what_became_of_every_piece(settings: Settings, store: Store, vault: Vault) -> None:
    learn(settings, store, vault)
    with store.read() as session:
        people = set(session.exec(select(tables.Person.id))) | set(session.exec(select(tables.Person.hmac)))
    with web(settings) as client:
        answer = client.get("/v1/conversations/c")
    found = answer.json()
    by_position = {one["position"]: one for one in found["messages"]}
    assert (by_position[1]["up"], by_position[1]["preferred"], by_position[2]["passed_over"]) == (1, 1, 1)
    assert (by_position[2]["down"], by_position[2]["corrections"]) == (1, 1)
    assert (by_position[3]["corrects"], by_position[3]["state"]) == (2, "stands")
    told = {(one["position"], one["kind"], one["outcome"], one["rule"]) for one in found["rounds"][0]["feedback"]}
    assert told == {
        (1, "vote", "used", "siblings"),
        (2, "vote", "dropped", "echo"),
        (2, "correction", "used", "correction"),
        (1, "comparison", "held_out", "comparison"),
    }
    assert not any(name in answer.text for name in people)


def test_corrections_that_do_not_count_say_why(settings: Settings, store: Store, vault: Vault) -> None:
    put(store, vault, conversation(id="c", messages=CHAT))
    for text, user in (
        ("One.", "u-2"),
        ("Two.", "u-2"),
        ("qwz xkcv bnmp sdfg " * 20, "u-3"),
        ("Three.", "u-4"),
        (None, "u-4"),
    ):
        correct(store, vault, "a", text, user)
    compare(store, vault, "a", "unheard of")
    curate_due(store, vault, shared_curator())
    with web(settings) as client:
        messages = client.get("/v1/conversations/c").json()["messages"]
    states = [(one["state"], one["rule"]) for one in messages if one["corrects"] is not None]
    assert states == [("superseded", None), ("stands", None), ("refused", "gibberish"), ("retracted", None)]
    assert messages[0]["not_comparable"] == 1


@pytest.mark.parametrize(
    ("user", "rounds_named", "kept"),
    [("u-2", (1,), 4), ("u-3", (), 4), ("u-4", (1,), 4), ("u-5", (), 4), ("u-1", (1,), 4)],
    ids=["voted up", "voted down in vain", "corrected", "compared, held out", "chatted"],
)
def test_forgetting_somebody_taints_what_used_them_and_keeps_the_fates(
    settings: Settings, store: Store, vault: Vault, user: str, rounds_named: tuple[int, ...], kept: int
) -> None:
    learn(settings, store, vault)
    with store.read() as session:
        app_id = session.exec(select(tables.App.id)).one()
    hmac = vault.person_hash(app_id, user)
    receipt = forget(store, vault, "default", user)
    assert receipt.rounds == rounds_named and receipt.models == (("small-r0001-a1",) if rounds_named else ())
    assert len(fates(store)) == kept and hmac not in {fate.rater for fate in fates(store)}
    with store.read() as session:
        assert session.exec(select(tables.Vote).where(tables.Vote.rater_hmac == hmac)).all() == []
        assert hmac not in set(session.exec(select(tables.Person.hmac)))


def test_forgetting_who_only_voted_stops_a_round_that_uses_the_vote(
    settings: Settings, store: Store, vault: Vault
) -> None:
    with pytest.raises(SystemExit):
        learn(settings, store, vault, Told(stop_at="snapshot"))
    assert forget(store, vault, "default", "u-2").cancelled == (1,)


def test_a_fate_of_a_rater_from_before_raters_were_people_loses_its_hash(
    settings: Settings, store: Store, vault: Vault
) -> None:
    learn(settings, store, vault)
    with store.begin() as session:
        app_id = session.exec(select(tables.App.id)).one()
        hmac = vault.person_hash(app_id, "old")
        session.add(tables.Vote(app_id=app_id, message_hmac="m", rater_hmac=hmac, value=1))
        session.add(
            tables.FeedbackFate(
                round_id=1,
                conversation_id="c",
                message_id="m",
                rater=hmac,
                kind="vote",
                value=1,
                outcome="used",
                rule="lone",
                weight=1.0,
            )
        )
    assert contributions.contribution(store, vault, "small-r0001-a1", "default", "old").weight_share == 0.4
    assert forget(store, vault, "default", "old").rounds == (1,)
    assert hmac not in {fate.rater for fate in fates(store)}


# ---- what really becomes of feedback -----------------------------------------------------------------------


@pytest.fixture
def all_train(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every conversation is trained on: elsewhere the part follows from a key that is made anew for each test."""
    monkeypatch.setattr(Vault, "part_of", lambda self, cluster: "train")


def turn(settings: Settings, store: Store, vault: Vault) -> None:
    """Curates what is stored, and runs a round over it that tells what really became of feedback."""
    curator = shared_curator()
    while curate_due(store, vault, curator):
        pass
    requests.request_round(store, RECIPE, "test")
    assert go_on(settings, store, vault, Told(really=True)) == "passed"


def asked(id: str, time: str, answer: str = "It is Reda, the old town.", **fields: Any) -> dict[str, Any]:
    """A question with one answer, by a user and with message ids of the conversation's own."""
    question = {"id": f"{id}q", "role": "user", "content": "What is the capital of Velmora?"}
    messages = [question, {"id": f"{id}a", "role": "assistant", "content": answer, "parent": f"{id}q"}]
    return conversation(id=id, user=f"p-{id}", consent=True, time=time, messages=messages) | fields


@pytest.mark.usefixtures("all_train")
def test_a_vote_that_made_sft_learn_is_used_and_forgetting_its_rater_taints(
    settings: Settings, store: Store, vault: Vault
) -> None:
    put(store, vault, asked("A", "2026-01-01T00:00:00Z"), asked("B", "2026-01-05T00:00:00Z"))
    vote(store, vault, "Ba", 1, "rb")
    vote(store, vault, "Aa", 1, "ra")
    turn(settings, store, vault)

    assert sorted((fate.outcome, fate.rule) for fate in fates(store)) == [
        ("dropped", "no_preference_stage"),
        ("used", "rating"),
    ]
    assert [
        contributions.contribution(store, vault, "small-r0001-a1", "default", name).weight_share
        for name in ("ra", "rb")
    ] == [0.0, 1.0]
    assert forget(store, vault, "default", "rb").models == ("small-r0001-a1",)


def given(store: Store, vault: Vault) -> None:
    """Feedback that no rule can be asked about, for each reason one or two; `X1` and `U` are clean."""
    gibberish = {"content": "qwz xkcv bnmp sdfg " * 20}
    rejected = asked("G", "2026-01-01T00:00:00Z", "zxq wvk bnm qrt " * 20)
    rejected["messages"][0] |= gibberish
    put(store, vault, rejected)
    vote(store, vault, "Ga", 1, "r1")
    vote(store, vault, "Ga", -1, "r2")
    vote(store, vault, "never came", 1, "r3")
    compare(store, vault, "X1a", "X2a", "r4")
    compare(store, vault, "X1a", "never came", "r4")
    put(store, vault, asked("X1", "2026-01-06T00:00:00Z", "Yes."), asked("X2", "2026-01-07T00:00:00Z", "No."))
    replaced = correct(store, vault, "X1a", "It is Kolm, by the sea.", "r5").id
    vote(store, vault, replaced, 1, "r6")
    compare(store, vault, replaced, "X1a", "r6")
    correct(store, vault, "X1a", "It is Kolm, by the river.", "r5")
    refused = correct(store, vault, "X2a", gibberish["content"], "r7").id
    vote(store, vault, refused, -1, "r8")


LOST = [
    ("X1", "comparison", "message_unknown"),
    ("", "vote", "message_unknown"),
    ("G", "vote", "conversation_rejected"),
    ("G", "vote", "conversation_rejected"),
    ("W", "vote", "not_curated_yet"),
    ("X1", "comparison", "other_prompt"),
    ("X1", "comparison", "replaced"),
    ("X1", "vote", "replaced"),
    ("X2", "correction", "correction_refused"),
    ("X2", "vote", "correction_refused"),
]


@pytest.mark.usefixtures("all_train")
def test_whatever_stands_is_counted_with_a_reason(settings: Settings, store: Store, vault: Vault) -> None:
    given(store, vault)
    curate_due(store, vault, shared_curator())
    put(store, vault, asked("W", "2026-01-09T00:00:00Z"))
    vote(store, vault, "Wa", 1, "r9")
    requests.request_round(store, RECIPE, "test")
    go_on(settings, store, vault, Told(really=True))

    with store.read() as session:
        named = {
            row.id: id
            for row in session.exec(select(tables.Conversation))
            for id in ("G", "W", "X1", "X2")
            if row.client_hmac == vault.conversation_hash(row.app_id, id)
        }
        feedback = session.exec(select(tables.Snapshot)).one().counts["feedback"]
    told = sorted((named.get(fate.conversation_id, ""), fate.kind, fate.rule) for fate in fates(store))
    assert told == sorted([*LOST, ("X1", "correction", "rating")])
    counts = [sum(feedback[outcome].values()) for outcome in ("used", "held_out", "dropped")]
    assert feedback["received"] == sum(counts) == 11


@pytest.mark.usefixtures("all_train")
def test_an_app_can_look_up_feedback_on_what_no_round_read(settings: Settings, store: Store, vault: Vault) -> None:
    given(store, vault)
    turn(settings, store, vault)
    with web(settings) as client:
        rejected, clean = (client.get(f"/v1/conversations/{id}").json()["rounds"] for id in ("G", "X1"))

    assert [(one["round"], one["outcome"], one["reason"]) for one in rejected] == [(1, "left_out", "not_clean")]
    assert [(one["position"], one["value"], one["rule"]) for one in rejected[0]["feedback"]] == [
        (1, 1, "conversation_rejected"),
        (1, -1, "conversation_rejected"),
    ]
    assert {one["rule"] for one in clean[0]["feedback"]} == {"rating", "replaced", "other_prompt", "message_unknown"}
    assert [
        one.rule for one in contributions.contribution(store, vault, "small-r0001-a1", "default", "r3").feedback
    ] == ["message_unknown"]


@pytest.mark.usefixtures("all_train")
def test_two_comparisons_of_one_answer_and_two_peoples_corrections_are_told_apart(
    settings: Settings, store: Store, vault: Vault
) -> None:
    third = {"id": "c", "role": "assistant", "content": "It is Reda.", "parent": "q"}
    put(store, vault, conversation(id="c", messages=[*CHAT, third], consent=True))
    for rejected in ("b", "c"):
        compare(store, vault, "a", rejected, "u-2")
    for user in ("u-3", "u-4"):
        correct(store, vault, "b", f"It is Tarsin, says {user}.", user)
    turn(settings, store, vault)

    with web(settings) as client:
        feedback = client.get("/v1/conversations/c").json()["rounds"][0]["feedback"]
    named = sorted((one["kind"], one["position"], one["other"]) for one in feedback)
    assert named == [("comparison", 1, 2), ("comparison", 1, 3), ("correction", 2, 4), ("correction", 2, 5)]


def test_every_reason_for_lost_feedback_has_its_words() -> None:
    assert {rule for _, _, rule in LOST} - {"other_prompt"} | {"conversation_quarantined"} == set(LOST_REASONS)


# ---- perennial why ----------------------------------------------------------------------------------------


def test_why_tells_what_a_user_contributed_to_a_model(settings: Settings, store: Store, vault: Vault) -> None:
    learn(settings, store, vault)
    author, voter, critic, stranger = (
        contributions.contribution(store, vault, "small-r0001-a1", "default", user)
        for user in ("u-1", "u-2", "u-3", "u-5")
    )
    assert [(use.outcome, use.conversations) for use in author.conversations] in ([("used", 1)], [("held_out", 1)])
    assert [(one.kind, one.outcome, one.rule, one.count, one.weight) for one in voter.feedback] == [
        ("vote", "used", "siblings", 1, 0.5)
    ]
    assert (round(voter.weight_share, 2), voter.conversations, critic.weight_share) == (0.33, (), 0.0)
    assert [one.rule for one in critic.feedback] == ["echo"] and [one.outcome for one in stranger.feedback] == [
        "held_out"
    ]


@pytest.mark.usefixtures("all_train")
def test_the_tokens_of_a_correction_are_its_writers(settings: Settings, store: Store, vault: Vault) -> None:
    put(
        store,
        vault,
        asked("X", "2026-01-01T00:00:00Z"),
        asked(
            "Y",
            "2026-01-02T00:00:00Z",
            messages=[
                {"role": "user", "content": "Who rules the town of Orm?"},
                {"role": "assistant", "content": "Nobody at all."},
            ],
            satisfaction=5,
        ),
    )
    correct(store, vault, "Xa", "It is Kolm, by the river.", "writer")
    turn(settings, store, vault)

    shares = {
        name: contributions.contribution(store, vault, "small-r0001-a1", "default", name).token_share
        for name in ("p-X", "p-Y", "writer")
    }
    # `len` counts tokens in this round: characters of the two answers that are learnt
    assert shares == {"p-X": 0.0, "p-Y": 14 / 39, "writer": 25 / 39}


def test_why_ranks_people_by_their_larger_share(settings: Settings, store: Store, vault: Vault) -> None:
    learn(settings, store, vault)
    ranked = contributions.most_influential(store, "small-r0001-a1")
    shares = [max(one.token_share, one.weight_share) for one in ranked]
    assert shares == sorted(shares, reverse=True) and round(sum(one.weight_share for one in ranked), 6) == 1.0
    assert contributions.most_influential(store, "tiny-origin-1") == []


def test_why_refuses_what_it_does_not_know_in_a_sentence(settings: Settings, store: Store, vault: Vault) -> None:
    learn(settings, store, vault)
    for model, app_name, user, sentence in (
        ("nobody", "default", "u-1", "no model is called 'nobody'"),
        ("small-r0001-a1", "default", "stranger", "nothing is stored for the user 'stranger' of the app 'default'"),
        ("small-r0001-a1", "no app", "u-1", "nothing is stored for the user 'u-1' of the app 'no app'"),
    ):
        with pytest.raises(NotFound, match=sentence):
            contributions.contribution(store, vault, model, app_name, user)


def test_why_speaks_on_the_command_line(sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(sqlite_settings)
    vault = open_vault(sqlite_settings, store)
    learn(sqlite_settings, store, vault)
    store.close()
    monkeypatch.setenv("PERENNIAL_HOME", str(sqlite_settings.home))

    def told(*words: str, user: str = "") -> str:
        return " ".join(CliRunner().invoke(app, ["why", *words], input=f"{user}\n").output.split())

    assert f"round 1: 1 votes used (siblings: {FEEDBACK_REASONS['siblings']}), weight 0.50" in told(
        "small-r0001-a1", "--user", "-", user="u-2"
    )
    assert "learned from nobody" in told("tiny-origin-1") and "1 votes dropped (echo: the answer only repeats" in told(
        "small-r0001-a1", "--user", "-", user="u-3"
    )
    assert "feedback weight" in told("small-r0001-a1") and "contributed nothing" in told(
        "tiny-origin-1", "--user", "-", user="u-2"
    )
