"""The page of a reviewer on both databases: votes, better answers, dropping, quarantine, and what a round then reads."""

import html
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import col, select
from starlette.testclient import TestClient

from pipelines.feedback.held_back import hold_back
from pipelines.feedback.select import select as select_lessons
from pipelines.feedback.weigh import weigh
from pipelines.recipe import Select
from service.corpus import StoreCorpus
from service.store import reviews
from service.store.session import Store
from service.store.tables import Audit, Conversation, Correction, Quarantine, Review, Vote
from service.vault import Vault
from tests.factories import conversation, put
from tests.service.curating import curate_all
from tests.service.web.test_talk_pages import ids_of

Act = Callable[..., str]
LATER = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
def ids(store: Store, vault: Vault) -> list[str]:
    """Our ids of two checked conversations, the older one first."""
    given = [
        conversation(f"Where does the {name} rise?", f"In the hills above {name}.", consent=True, satisfaction=5)
        for name in ("Osk", "Tarsin")
    ]
    for one in given:
        put(store, vault, one)
    curate_all(store, vault)
    return sorted(ids_of(store, vault, *given))


@pytest.fixture
def act(client: TestClient) -> Act:
    """Does something on a conversation's page as its form says, and gives the page that comes then."""

    def press(id: str, do: str, **fields: str) -> str:
        page = client.get(f"/review/{id}").text
        hidden = {name: re.findall(rf'name="{name}" value="([^"]*)"', page)[0] for name in ("csrf", "seen")}
        answer = re.findall(r'name="answer" value="(\w+)" form="decide" checked', page)
        chosen = {"answer": answer[0]} if answer else {}
        return html.unescape(client.post(f"/review/{id}", data=hidden | chosen | {"do": do} | fields).text)

    return press


def reasons(store: Store, vault: Vault, review: str = "required") -> dict[str, str]:
    """The outcome or reason of each conversation in a round of now."""
    rules = Select.model_validate({"review": review})
    weighed = weigh(hold_back(StoreCorpus(store, vault).candidates(), rules), rules, LATER)
    items, _ = select_lessons(
        weighed.candidates, rules, count_tokens=len, find_contaminated=lambda texts: [None] * len(texts)
    )
    return {item.conversation: item.reason if item.outcome == "left_out" else item.outcome for item in items}


def test_a_vote_is_a_persons_and_the_next_one_follows(
    client: TestClient, store: Store, ids: list[str], act: Act
) -> None:
    assert client.get("/review", follow_redirects=False).headers["location"] == f"/review/{ids[1]}"
    page = act(ids[1], "down", reason="wrong")
    assert "Where does the Osk rise?" in page, "the older one comes next"
    with store.read() as session:
        [vote] = session.exec(select(Vote)).all()
        assert (vote.value, vote.reason, vote.source) == (-1, "wrong", "person")
    act(ids[1], "up")
    with store.read() as session:
        assert [(vote.value, vote.reason) for vote in session.exec(select(Vote))] == [(1, None)]
    assert "1 up" in client.get(f"/review/{ids[1]}").text
    assert "every conversation whose person agreed was looked at" in act(ids[0], "keep")


def test_unreviewed_never_flows_where_a_recipe_asks_for_a_review(
    client: TestClient, store: Store, vault: Vault, ids: list[str], act: Act
) -> None:
    assert set(reasons(store, vault).values()) == {"not_reviewed"}
    assert "not_reviewed" not in reasons(store, vault, "optional").values()
    act(ids[0], "keep")
    found = reasons(store, vault)
    assert found[ids[0]] in ("used", "held_out") and found[ids[1]] == "not_reviewed"


def test_what_comes_after_a_review_is_unreviewed(store: Store, vault: Vault, act: Act) -> None:
    given = conversation("Where is it?", "Here.", consent=True, satisfaction=5)
    put(store, vault, given)
    curate_all(store, vault)
    [id] = ids_of(store, vault, given)
    act(id, "keep")
    assert reasons(store, vault)[id] in ("used", "held_out")
    more = [{"role": "user", "content": "And then?"}, {"role": "assistant", "content": "Further on."}]
    put(store, vault, given | {"messages": given["messages"] + more})
    curate_all(store, vault)
    assert reasons(store, vault)[id] == "not_reviewed"
    with store.read() as session:
        assert reviews.next_unreviewed(session, "clean") == id, "so it waits again"


def test_a_better_answer_is_a_correction_that_the_reviewer_has_seen(
    store: Store, vault: Vault, ids: list[str], act: Act
) -> None:
    assert "a better answer needs words" in act(ids[0], "correct", content=" \r\n")
    act(ids[0], "correct", content="It rises in a spring.\r\nBelow the hill.")
    curate_all(store, vault)
    with store.read() as session:
        [held] = session.exec(select(Correction)).all()
        assert held.source == "person" and held.refused is None
    assert "Below the hill." in act(ids[0], "nothing")
    assert reasons(store, vault)[ids[0]] in ("used", "held_out")


def test_what_is_dropped_is_left_out_until_it_is_kept(store: Store, vault: Vault, ids: list[str], act: Act) -> None:
    act(ids[0], "drop")
    act(ids[0], "up")
    assert reasons(store, vault, "optional")[ids[0]] == "dropped_by_reviewer"
    rules = Select()
    weighed = weigh(hold_back(StoreCorpus(store, vault).candidates(), rules), rules, LATER + timedelta(days=1))
    assert [fate.rule for fate in weighed.dropped if fate.piece.conversation == ids[0]] == ["dropped_by_reviewer"]
    act(ids[0], "keep")
    assert reasons(store, vault, "optional")[ids[0]] in ("used", "held_out")


def test_quarantine_is_tried_again_or_discarded(
    client: TestClient, store: Store, vault: Vault, ids: list[str], act: Act
) -> None:
    with store.begin() as session:
        for id in ids:
            row = session.get(Conversation, id)
            assert row is not None
            row.state = "quarantined"
            session.add(row)
            session.add(Quarantine(conversation_id=id, reason="worker_crashed"))
    page = html.unescape(client.get("/review?queue=quarantined").text)
    assert "the process of curation crashed on it" in page and "Where does" not in page
    act(ids[1], "release")
    act(ids[0], "discard")
    curate_all(store, vault)
    with store.read() as session:
        assert [session.get_one(Conversation, id).state for id in ids] == ["rejected", "clean"]
        assert session.get_one(Review, ids[0]).verdict == "dropped"
        acts = session.exec(select(Audit.action).where(col(Audit.action).startswith("quarantine_"))).all()
        assert sorted(acts) == ["quarantine_discarded", "quarantine_released"]
    assert "a reviewer discarded it" in html.unescape(client.get(f"/conversations/{ids[0]}").text)
    assert "by now" in act(ids[1], "release"), "it is in no quarantine any more"


def test_nothing_is_done_without_the_forms_token_or_for_a_foreign_answer(
    client: TestClient, store: Store, ids: list[str], act: Act
) -> None:
    assert client.post(f"/review/{ids[0]}", data={"csrf": "x", "do": "drop"}).status_code == 403
    page = client.get(f"/review/{ids[1]}").text
    [foreign] = re.findall(r'name="answer" value="(\w+)"', page)
    assert "choose the answer" in act(ids[0], "up", answer=foreign)
    with store.read() as session:
        assert session.exec(select(Vote)).all() == [] and session.exec(select(Review)).all() == []
