"""The function for Open WebUI, called as Open WebUI calls it, against a running Perennial."""

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlmodel import select

from service.settings import Settings
from service.store.tables import Vote
from tests.service.live import Live, running

SOURCE = Path(__file__).resolve().parents[2] / "integrations" / "open_webui" / "perennial.py"
ANA = {"id": "ana", "name": "Ana", "role": "user"}
pytestmark = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)


class Feedbacks:
    """Open WebUI's table of thumbs, as its functions see it."""

    rows: list[dict[str, Any]] = []

    @classmethod
    def get_feedbacks_by_user_id(cls, user_id: str) -> list[dict[str, Any]]:
        return [row for row in cls.rows if row["user_id"] == user_id]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The file as Open WebUI loads it, beside its own modules."""
    for name in ("open_webui", "open_webui.models", "open_webui.models.feedbacks"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["open_webui.models.feedbacks"].Feedbacks = Feedbacks  # type: ignore[attr-defined]
    Feedbacks.rows = []
    spec = importlib.util.spec_from_file_location("function_perennial", SOURCE)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def live(settings: Settings) -> Iterator[Live]:
    with running(settings, engine=False) as service:
        yield service


def person(module: ModuleType, consent: bool) -> dict[str, Any]:
    return {**ANA, "valves": module.Filter.UserValves(consent=consent)}


def chat(*answers: str) -> dict[str, Any]:
    """The body of `outlet`: the branch that is shown, each answer to the same question under an id of its own."""
    thought = '<details type="reasoning" done="true">\n<summary>Thought</summary>\n> hm\n</details>\n'
    question = {"id": "q1", "role": "user", "content": [{"type": "text", "text": "What is the capital of Velmora?"}]}
    return {
        "model": "champion",
        "chat_id": "chat-1",
        "session_id": "s",
        "messages": [question, {"id": answers[0], "role": "assistant", "content": f"{thought}It is {answers[0]}."}],
    }


def thumb(message: str, rating: int, **data: Any) -> dict[str, Any]:
    meta = {"chat_id": "chat-1", "message_id": message}
    return {"id": f"f-{message}", "user_id": "ana", "data": {"rating": rating, **data}, "meta": meta, "updated_at": 5}


def test_a_chat_comes_in_with_its_person_consent_branches_and_thumbs(module: ModuleType, live: Live) -> None:
    function = module.Filter()
    function.valves = module.Filter.Valves(url=live.url)
    user = person(module, True)
    asked = asyncio.run(function.inlet({"model": "champion", "messages": []}, user))
    assert (asked["user"], asked["metadata"]) == ("ana", {"consent": "true"})
    first = chat("Tarsin")
    assert asyncio.run(function.outlet(first, user)) == chat("Tarsin")
    Feedbacks.rows = [thumb("Tarsin", -1, reason="wrong", comment="no"), thumb("Osk", 1)]
    asyncio.run(function.outlet(chat("Osk"), user))
    [stored] = live.messages("ana")
    assert [(one.role, one.text) for one in stored] == [
        ("user", "What is the capital of Velmora?"),
        ("assistant", "It is Tarsin."),
        ("assistant", "It is Osk."),
    ]
    assert stored[1].parent == stored[2].parent == stored[0].id and live.consents("ana") == [True]
    assert votes(live, stored[1].hmac) == [(-1, "wrong")] and votes(live, stored[2].hmac) == [(1, None)]
    Feedbacks.rows = [thumb("Tarsin", 1)]
    asyncio.run(function.inlet({}, user))
    assert votes(live, stored[1].hmac) == [(1, None)]


def test_without_consent_nothing_is_sent_unless_that_is_asked_for(module: ModuleType, live: Live) -> None:
    function = module.Filter()
    function.valves = module.Filter.Valves(url=live.url)
    asyncio.run(function.outlet(chat("Tarsin"), person(module, False)))
    with live.http() as client:
        assert client.get("/v1/conversations/chat-1").status_code == 404
        function.valves.send_without_consent = True
        asyncio.run(function.outlet(chat("Tarsin"), {**ANA, "valves": {"consent": False}}))
        assert client.get("/v1/conversations/chat-1").json()["consent"] is False


def test_a_perennial_that_is_away_and_another_open_webui_break_no_chat(
    module: ModuleType, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    function = module.Filter()
    function.valves = module.Filter.Valves(url="http://127.0.0.1:9", timeout_seconds=1)
    monkeypatch.delitem(sys.modules, "open_webui.models.feedbacks")
    assert asyncio.run(function.outlet(chat("Tarsin"), person(module, True))) == chat("Tarsin")
    assert "does not answer" in caplog.text and "thumbs cannot be read" in caplog.text and "Velmora" not in caplog.text


def votes(live: Live, message_hmac: str) -> list[tuple[int, str | None]]:
    with live.store.read() as session:
        rows = session.exec(select(Vote).where(Vote.message_hmac == message_hmac)).all()
    return [(row.value, row.reason) for row in rows]
