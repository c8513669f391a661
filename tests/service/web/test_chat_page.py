"""The page of chats over a real engine: answers whole and streamed, recorded as one's own, and everything that is said of them."""

import html
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import copy

import httpx
import pytest
from sqlmodel import select

from service.api_keys import create_key, revoke_key
from service.store.tables import Comparison, Conversation, Correction, Message, Vote
from service.web.pages import chat as page_of_chats
from tests.conftest import make_settings
from tests.service.live import Live, running
from tests.service.served import add_model, crown


@pytest.fixture(scope="module")
def live(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service whose champion answers."""
    home = tmp_path_factory.mktemp("home")
    copy(sqlite_template, home / "perennial.db")
    settings = make_settings(home)
    with running(settings) as service, pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_of_chats, "MAX_TOKENS", 16)  # the random model ends no answer by itself
        add_model(service.store, settings, "origin", kind="origin", verdict=None)
        crown(service.store, "origin")
        service.wait_for_model("origin")
        yield service


@pytest.fixture
def browser(live: Live) -> Iterator[httpx.Client]:
    with live.http(follow_redirects=True) as client:
        yield client


class Chat:
    """A chat of the page: `press` sends its form as a browser without script does."""

    def __init__(self, browser: httpx.Client) -> None:
        self.browser, self.page = browser, browser.get("/chat").text
        [self.address] = re.findall(r'action="(/chat/chat-\w+)"', self.page)

    def fields(self, do: str, **fields: str) -> dict[str, str]:
        [csrf] = set(re.findall(r'name="csrf" value="(\w+)"', self.page))
        after = re.findall(r'name="after" value="(\w+)" form="say"(?: checked)?>', self.page)
        return {"csrf": csrf, "do": do, **({"after": after[-1]} if after else {}), **fields}

    def press(self, do: str, **fields: str) -> str:
        self.page = self.browser.post(self.address, data=self.fields(do, **fields)).text
        return html.unescape(self.page)

    @property
    def answers(self) -> list[str]:
        return re.findall(r'value="up (\w+)"', self.page)


def test_a_chat_is_recorded_without_consent_unless_it_is_given(live: Live, browser: httpx.Client) -> None:
    chat = Chat(browser)
    assert "Nothing is learned from this chat." in chat.press("say", text="Where does the Osk rise?")
    assert "Where does the Osk rise?" in chat.page and len(chat.answers) == 1
    page = chat.press("say", text="And where does it end?", consent="yes")
    assert "This chat may be learned from" in page and len(chat.answers) == 2
    with live.store.read() as session:
        row = session.exec(select(Conversation).order_by(Conversation.id.desc())).first()  # type: ignore[attr-defined]
        assert row is not None and row.consent is True
        messages = session.exec(select(Message).where(Message.conversation_id == row.id)).all()
        by_position = sorted(messages, key=lambda one: one.position)
        assert [one.role for one in by_position] == ["user", "assistant", "user", "assistant"]
        assert [one.parent_id for one in by_position] == [None, *(one.id for one in by_position[:3])]
        assert by_position[1].served_by == "origin"
    assert "Where does the Osk rise?" in browser.get("/chat").text, "it is among the earlier ones"


def test_what_is_said_of_an_answer_is_kept_as_any_feedback(live: Live, browser: httpx.Client) -> None:
    chat = Chat(browser)
    chat.press("say", text="Name a river.")
    [first] = chat.answers
    chat.press(f"again {first}")
    assert len(chat.answers) == 2, "another answer is a sibling of the first"
    second = next(one for one in chat.answers if one != first)
    chat.press(f"down {first}", **{f"reason {first}": "wrong"})
    chat.press(f"prefer {second}")
    page = chat.press(f"better {first}", **{f"better {first}": "The Osk."})
    assert "The Osk." in page and "1 down" in page and "preferred 1×" in page and "corrected 1×" in page
    assert "a better answer needs words" in chat.press(f"better {first}", **{f"better {first}": " "})
    with live.store.read() as session:
        one, two = session.get_one(Message, first), session.get_one(Message, second)
        assert one.parent_id == two.parent_id
        votes = session.exec(select(Vote).where(Vote.message_hmac == one.client_hmac)).all()
        assert [(vote.value, vote.reason, vote.source) for vote in votes] == [(-1, "wrong", "person")]
        correction = session.exec(select(Correction).where(Correction.corrected_message_id == first)).one()
        compared = session.exec(select(Comparison)).one()
        chosen = compared.first_hmac if compared.value > 0 else compared.second_hmac
        assert chosen == two.client_hmac and correction.source == "person"


def test_another_model_answers_beside_the_champion_and_is_named_once_one_is_preferred(
    live: Live, browser: httpx.Client
) -> None:
    add_model(live.store, live.settings, "candidate")
    chat = Chat(browser)
    said = {"beside": "candidate", "blind": "yes"}
    page = chat.press("say", text="Which lake is the deepest?", **said)
    assert "which one is told once you prefer one" in page and len(chat.answers) == 2
    assert chat.answers == sorted(chat.answers), "their order tells nothing of who answered first"
    with live.store.read() as session:
        first, second = (session.get_one(Message, one) for one in chat.answers)
        assert {first.served_by, second.served_by} == {"origin", "candidate"} and first.parent_id == second.parent_id
    assert not re.search(r'class="soft">(origin|candidate)<', chat.page)
    page = chat.press(f"prefer {chat.answers[0]}", blind="yes")
    assert "preferred 1×" in page and {"origin", "candidate"} <= set(re.findall(r'class="soft">(\w+)<', chat.page))
    with live.store.read() as session:
        compared = session.exec(select(Comparison).order_by(Comparison.id.desc())).first()  # type: ignore[attr-defined]
        assert compared is not None and {compared.first_hmac, compared.second_hmac} == {
            first.client_hmac,
            second.client_hmac,
        }
    refused = chat.press("say", text="And the widest?", beside="origin")
    assert "cannot be asked beside the champion" in refused and "And the widest?" not in browser.get(chat.address).text


def test_an_answer_is_streamed_to_a_script(browser: httpx.Client) -> None:
    chat = Chat(browser)
    asked = {"data": chat.fields("say", text="Say something."), "headers": {"Accept": "text/event-stream"}}
    with browser.stream("POST", chat.address, **asked) as answer:  # type: ignore[arg-type]
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert events[-1] == "[DONE]"
    said = "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1])
    page = html.unescape(browser.get(chat.address).text)
    assert said.strip() and said.strip()[:20] in page
    refused = browser.post(chat.address, data=chat.fields("say", text=" "), headers={"Accept": "text/event-stream"})
    assert refused.status_code == 422 and refused.json() == {"error": {"message": "say something first"}}


def test_a_form_of_elsewhere_does_nothing(browser: httpx.Client) -> None:
    chat = Chat(browser)
    assert browser.post(chat.address, data={"csrf": "x", "do": "say", "text": "Hi"}).status_code == 403
    assert browser.get("/chat/else").status_code == 404


def test_a_chat_is_its_own_persons_alone(live: Live, browser: httpx.Client) -> None:
    chat = Chat(browser)
    chat.press("say", text="A secret of mine.")
    [answer] = chat.answers
    key = create_key(live.store, "other", None, "read,chat")
    try:
        with live.http(follow_redirects=True) as other:
            [csrf] = re.findall(r'name="csrf" value="(\w+)"', other.get("/login").text)[:1]
            page = ""
            for _ in range(40):  # the keys are read again within two seconds
                page = other.post("/login", data={"csrf": csrf, "key": key}).text
                if "Sign out" in page:
                    break
                time.sleep(0.1)
            assert "Sign out" in page
            assert "A secret of mine." not in other.get(chat.address).text + other.get("/chat").text
            [csrf] = re.findall(r'name="csrf" value="(\w+)"', other.get(chat.address).text)[-1:]
            assert other.post(chat.address, data={"csrf": csrf, "do": f"up {answer}"}).status_code == 404
    finally:
        revoke_key(live.store, "other")
