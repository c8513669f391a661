"""The list of conversations and one conversation: every filter on both databases, the tree, the fate, and who may see them."""

import html
import re
from typing import Any

import pytest
from sqlmodel import Session
from starlette.testclient import TestClient

from service.api_keys import create_key
from service.store import browse, people
from service.store.session import Store
from service.store.tables import Conversation, Quarantine, Rejection, Snapshot, SnapshotItem
from service.vault import Vault
from tests.factories import conversation, correct, put, tree, vote
from tests.service.curating import curate_all
from tests.service.served import add_round


def ids_of(store: Store, vault: Vault, *given: dict[str, Any]) -> list[str]:
    """Our ids of these stored conversations of the default app."""
    with store.read() as session:
        app = people.app_id(session, "default") or ""
        chats = [(app, vault.conversation_hash(app, one["id"])) for one in given]
        return [browse.named(session, [chat], [], "")[0].id for chat in chats]


@pytest.fixture
def filled(store: Store, vault: Vault) -> dict[str, str]:
    """Our ids of four conversations: a curated tree with feedback, a rejected, a quarantined, and one that waits."""
    asked = tree(consent=True, time="2026-03-31T23:59:59Z")
    asked["messages"][0]["content"] += " Write to maria.gruber@example.org."
    asked["messages"][1]["model"] = "gpt-9"
    short = conversation("x x x x x x x x x x x x x x x x", "Yes.", time="2026-04-01T00:00:00Z")
    put(store, vault, asked, short, broken := conversation("What is it?", "A leaf."))
    vote(store, vault, asked["messages"][1]["id"], -1, "u-9")
    correct(store, vault, asked["messages"][1]["id"], "The capital is Tarsin on the river.", "u-2")
    curate_all(store, vault)
    put(store, vault, waiting := conversation("And now?", "Later."))
    ids = dict(
        zip(
            ("tree", "rejected", "quarantined", "waiting"),
            ids_of(store, vault, asked, short, broken, waiting),
            strict=True,
        )
    )
    with store.begin() as session:
        settle(session, ids)
    return ids


def settle(session: Session, ids: dict[str, str]) -> None:
    """States that curation would come to, and a round that read the tree."""
    for name, state in (("rejected", "rejected"), ("quarantined", "quarantined")):
        row = session.get(Conversation, ids[name])
        assert row is not None
        row.state, row.part = state, None
        session.add(row)
    tree_row = session.get(Conversation, ids["tree"])
    assert tree_row is not None and tree_row.state == "clean"
    tree_row.topic, tree_row.part = "other", "train"
    if session.get(Rejection, ids["rejected"]) is None:
        session.add(Rejection(conversation_id=ids["rejected"], rule="repetition", detail="0.9 of it"))
    session.add(Quarantine(conversation_id=ids["quarantined"], reason="detection_timeout"))


@pytest.fixture
def read(store: Store, filled: dict[str, str]) -> int:
    """A round that learned from the tree and left the others out."""
    number = add_round(store)
    with store.begin() as session:
        session.add(Snapshot(round_id=number, digest="d"))
        for name, outcome, reason in (("tree", "used", "train"), ("waiting", "left_out", "low_satisfaction")):
            session.add(
                SnapshotItem(
                    round_id=number, conversation_id=filled[name], person_id="p", outcome=outcome, reason=reason
                )
            )
    return number


def shown(page: str) -> list[str]:
    """The conversations that a list links to, in its order."""
    return re.findall(r'href="/conversations/([0-9a-f]{32})"', page)


FILTERS: tuple[tuple[str, list[str]], ...] = (
    ("", ["waiting", "quarantined", "rejected", "tree"]),
    ("state=rejected", ["rejected"]),
    ("rule=repetition", ["rejected"]),
    ("rule=detection_timeout", ["quarantined"]),
    ("rule=low_satisfaction", ["waiting"]),
    ("rule=train&round=1", ["tree"]),
    ("app=default", ["waiting", "quarantined", "rejected", "tree"]),
    ("app=nowhere", []),
    ("model=gpt-9", ["tree"]),
    ("model=gpt-9&vote=up", []),
    ("vote=down", ["tree"]),
    ("vote=down&model=gpt-9&round=1&rule=train", ["tree"]),
    ("vote=down&rule=repetition", []),
    ("language=en&state=clean", ["tree"]),
    ("topic=other", ["tree"]),
    ("month=2026-03", ["tree"]),
    ("month=2026-04", ["rejected"]),
    ("part=train", ["tree"]),
    ("part=heldout", []),
    ("round=1", ["waiting", "tree"]),
    ("round=1&state=received", ["waiting"]),
)


def test_each_filter_shows_what_passes_it(client: TestClient, filled: dict[str, str], read: int) -> None:
    by_id = {id: name for name, id in filled.items()}
    for query, names in FILTERS:
        page = client.get("/conversations?" + query.replace("round=1", f"round={read}"))
        assert page.status_code == 200, query
        assert sorted(by_id[id] for id in shown(page.text)) == sorted(names), query
        assert shown(page.text) == sorted(shown(page.text), reverse=True), query


def test_a_conversation_is_found_by_the_ids_that_its_app_gave(
    client: TestClient, store: Store, vault: Vault, filled: dict[str, str]
) -> None:
    put(store, vault, given := tree())
    [ours] = ids_of(store, vault, given)
    for id in (given["id"], given["messages"][2]["id"], ours):
        answer = client.get("/conversations", params={"id": id}, follow_redirects=False)
        assert answer.status_code == 303 and answer.headers["location"] == f"/conversations/{ours}"
    assert (
        "No app sent a conversation or a message with the id nothing." in client.get("/conversations?id=nothing").text
    )


def test_a_list_goes_on_where_the_page_before_ended(
    client: TestClient, store: Store, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browse, "PAGE", 2)
    put(store, vault, *(given := [conversation() for _ in range(5)]))
    newest_first, seen, query = sorted(ids_of(store, vault, *given), reverse=True), [], "?state=received"
    while query:
        page = client.get(f"/conversations{query}").text
        seen.append(shown(page))
        [query] = re.findall(r'rel="next" href="([^"]*)"', page) or [""]
        query = html.unescape(query)
        assert "state=received" in query or not query
    assert seen == [newest_first[:2], newest_first[2:4], newest_first[4:]]


def test_a_rare_mixture_says_how_far_it_looked(
    client: TestClient, store: Store, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [tree() for _ in range(4)]
    given[0]["messages"][1]["model"] = "rare"
    put(store, vault, *given)
    for one in given:
        vote(store, vault, one["messages"][1]["id"], 1)
    monkeypatch.setattr(browse, "WINDOW", 3)
    first = client.get("/conversations?vote=up&model=rare").text
    assert shown(first) == [] and "Looked at 3 that pass one of the filters" in first
    [query] = re.findall(r'rel="next" href="([^"]*)"', first)
    assert shown(client.get(f"/conversations{html.unescape(query)}").text) == ids_of(store, vault, given[0])


def test_a_conversation_shows_its_tree_its_feedback_and_its_fate(
    client: TestClient, filled: dict[str, str], read: int
) -> None:
    page = html.unescape(client.get(f"/conversations/{filled['tree']}").text)
    for part in (
        "What is the capital of Velmora?",
        "1 of 3 that follow the same message",
        "gpt-9",
        "1 down",
        "corrected 1×",
        "The capital is Tarsin on the river.",
        "A better answer that a person wrote",
        "The person agreed that it is learned from.",
        f'<a href="/rounds/{read}">Round {read}</a>: <strong>used</strong>, used for training.',
    ):
        assert part in page, part


def test_no_original_is_shown(client: TestClient, filled: dict[str, str], read: int) -> None:
    pages = [client.get(path).text for path in ("/conversations", *(f"/conversations/{id}" for id in filled.values()))]
    assert not any("maria.gruber@example.org" in page for page in pages)
    assert "Write to" in pages[1] and "<mark" in pages[1], "what stands for the address is marked"
    rejected, quarantined, waiting = pages[2:]
    for page in (rejected, quarantined, waiting):
        assert "There is no anonymized text to show." in page
    assert (
        "most of somebody's text repeats itself" in html.unescape(rejected) and "took longer than it may" in quarantined
    )


@pytest.mark.parametrize(("path", "status"), [("/conversations/nothing", 404), ("/conversations?month=x", 422)])
def test_what_is_none_is_said(sqlite_client: TestClient, path: str, status: int) -> None:
    page = sqlite_client.get(path)
    assert page.status_code == status and 'role="alert"' in page.text


def test_only_who_operates_sees_them(client: TestClient, store: Store, filled: dict[str, str]) -> None:
    key = create_key(store, "viewer", None, "read,review,chat")
    client.app.state.keys._read_at = float("-inf")  # type: ignore[attr-defined]
    token = re.findall(r'name="csrf" value="([^"]*)"', client.get("/login").text)[0]
    client.post("/login", data={"csrf": token, "key": key})
    assert "/conversations" not in client.get("/").text
    for path in ("/conversations", f"/conversations/{filled['tree']}"):
        page = client.get(path)
        assert page.status_code == 403 and "Velmora" not in page.text
