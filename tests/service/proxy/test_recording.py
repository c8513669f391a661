"""What becomes of chats that passed: turns of one conversation, whose answers take votes, whatever came between."""

import gzip
import json
import time
from typing import Any

import pytest
from sqlmodel import select

from service.ingest.losses import read_losses
from service.store.people import app_id
from service.store.tables import Vote
from tests.service.live import Turn
from tests.service.proxy.conftest import Front
from tests.service.proxy.scripted import chunked, completion, event, whole

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def ask(front: Front, chat: list[dict[str, Any]], said: dict[str, Any], user: str = "", **headers: str) -> None:
    front.upstream.says(whole(said))
    named = {"X-Perennial-User": user} if user else {}
    sent = {f"X-Perennial-{name.capitalize()}": value for name, value in headers.items()}
    front.http.post(CHAT, json={"model": "m-1", "messages": chat}, headers=named | sent)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text} | more


def body(turn: Turn) -> Any:
    return json.loads(turn.text)


def test_a_history_sent_again_appends_to_its_conversation(front: Front) -> None:
    chat: list[dict[str, Any]] = [{"role": "system", "content": "Be kind."}]
    for number, text in enumerate(("one", "two", "three")):
        chat.append(user(text))
        ask(front, chat, completion(f"It is {text}.", f"chatcmpl-anna-{number}"), "anna", consent="true")
        chat.append(assistant(f"It is {text}."))
    (messages,) = front.recorded("anna", 1, 7)
    assert [(m.role, m.text) for m in messages] == [(t["role"], t["content"]) for t in chat]
    assert [m.parent for m in messages[1:]] == [m.id for m in messages[:-1]]
    assert {m.state for m in messages} == {"complete"} and {m.served_by for m in messages} == {None}
    assert front.live.consents("anna") == [True]


def test_asking_again_makes_a_sibling_and_another_opening_a_conversation_of_its_own(front: Front) -> None:
    for number, (text, answer) in enumerate((("sea", "blue"), ("sea", "grey"), ("hills", "green"))):
        ask(front, [user(text)], completion(answer, f"chatcmpl-ben-{number}"), "ben")
    sea, hills = front.recorded("ben", 2, 2)
    assert [m.text for m in sea] == ["sea", "blue", "grey"] and sea[1].parent == sea[2].parent == sea[0].id
    assert front.live.consents("ben") == [None, None] and hills[1].text == "green"


def test_a_vote_on_the_answer_works_at_once_and_reaches_it(front: Front) -> None:
    ask(front, [user("Hi")], completion("Hello!", "chatcmpl-vote-1"), "vera")
    voted = front.http.put("/v1/votes/chatcmpl-vote-1", json={"value": "up", "user": "vera"})
    assert voted.status_code == 200 and voted.json()["changed"]
    (messages,) = front.recorded("vera")
    with front.live.store.read() as session:
        votes = session.exec(select(Vote).where(Vote.message_hmac == messages[-1].hmac)).all()
    assert [vote.value for vote in votes] == [1]
    better = front.http.post("/v1/messages/chatcmpl-vote-1/corrections", json={"content": "Good day!", "user": "vera"})
    assert better.status_code == 201


@pytest.mark.parametrize(
    ("name", "headers", "fields", "consent"),
    [
        ("h1", {"X-Perennial-User": "h1", "X-Perennial-Consent": "true"}, {}, True),
        ("h2", {"X-Perennial-User": "h2"}, {"user": "other"}, None),
        ("h3", {"X-OpenWebUI-User-Id": "h3"}, {}, None),
        ("각설이", {"X-Perennial-User": "%EA%B0%81%EC%84%A4%EC%9D%B4"}, {}, None),
        ("b1", {}, {"user": "b1", "metadata": {"consent": "true"}}, True),
        ("b2", {}, {"metadata": {"user": "b2", "consent": False}}, False),
        ("b3", {}, {"safety_identifier": "b3"}, None),
        ("b4", {"X-Perennial-Consent": "true"}, {"user": "b4", "metadata": {"consent": "false"}}, False),
        ("b5", {}, {"user": "b5", "metadata": {"consent": "perhaps"}}, None),
    ],
)
def test_who_it_is_and_what_is_allowed(
    front: Front, name: str, headers: dict[str, str], fields: dict[str, Any], consent: bool | None
) -> None:
    front.upstream.says(whole(completion("Hello!", f"chatcmpl-{name}")))
    front.http.post(CHAT, json={"model": "m", "messages": [user("Hi")]} | fields, headers=headers)
    assert len(front.recorded(name)[0]) == 2 and front.live.consents(name) == [consent]


def test_a_chat_that_names_nobody_passes_and_is_counted(front: Front) -> None:
    before = read_losses(front.live.settings.home)
    ask(front, [user("Hi")], completion("Hello!", "chatcmpl-nobody"))
    deadline = time.monotonic() + 30
    while (found := read_losses(front.live.settings.home)) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found["unnamed"].count == 1 + (before["unnamed"].count if "unnamed" in before else 0)


def test_a_named_conversation_and_a_named_answer_keep_their_names(front: Front) -> None:
    for number in (1, 2):
        ask(
            front,
            [user(f"q{number}")],
            completion("Yes.", f"x-{number}"),
            "carl",
            conversation="c-9",
            answer=f"mine-{number}",
        )
    (messages,) = front.recorded("carl", 1, 4)
    assert front.http.put("/v1/votes/mine-2", json={"value": "down", "user": "carl"}).status_code == 200
    hashes = {front.live.vault.message_hash(_app(front), f"mine-{number}") for number in (1, 2)}
    assert hashes < {m.hmac for m in messages}


def _app(front: Front) -> str:
    with front.live.store.read() as session:
        return app_id(session, "default") or ""


def test_an_upstream_that_counts_from_the_start_again_loses_nothing_and_takes_no_wrong_vote(front: Front) -> None:
    for text in ("one", "two"):
        ask(front, [user(text)], completion(f"It is {text}.", "chatcmpl-417"), "olga")
        front.recorded("olga", 1 if text == "one" else 2)
    refused = front.http.put("/v1/votes/chatcmpl-417", json={"value": "up", "user": "olga"})
    assert refused.status_code == 409 and "X-Perennial-Answer" in refused.json()["detail"]
    chat = [user("two"), assistant("It is two."), user("And?")]
    ask(front, chat, completion("Three.", "chatcmpl-418"), "olga")
    assert [m.text for m in front.recorded("olga", 2, 4)[1]] == ["two", "It is two.", "And?", "Three."]


def test_the_same_chat_of_two_people_under_one_name_is_stored_for_each(front: Front) -> None:
    for name in ("ida", "ivo"):
        ask(front, [user("Hi")], completion("Hello from the cache!", "chatcmpl-cached-000000000000"), name)
        assert len(front.recorded(name)[0]) == 2


def test_tool_calls_reasoning_and_results_are_turns_like_any_other(front: Front) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}
    first = completion("", "chatcmpl-tool-1", finish_reason="tool_calls")
    first["choices"][0]["message"] |= {"content": None, "tool_calls": [call], "reasoning_content": "Ulm, so look."}
    chat = [user("Weather in Ulm?")]
    front.upstream.says(whole(first))
    sent = {"model": "m", "tools": [WEATHER], "user": "tom"}
    front.http.post(CHAT, json=sent | {"messages": chat})
    chat += [
        assistant("", content=None, tool_calls=[call]),
        {"role": "tool", "tool_call_id": "call_1", "content": "21"},
    ]
    front.upstream.says(whole(completion("21 degrees.", "chatcmpl-tool-2")))
    front.http.post(CHAT, json=sent | {"messages": chat})
    (messages,) = front.recorded("tom", 1, 4)
    asked, called, result, answer = messages
    assert (asked.text, answer.text) == ("Weather in Ulm?", "21 degrees.") and answer.parent == result.id
    assert body(called)["tool_calls"] == [{"name": "weather", "arguments": '{"city": "Ulm"}', "id": "call_1"}]
    assert body(called)["reasoning"] == "Ulm, so look." and body(result)["tool_call_id"] == "call_1"


def delta(text: str | None = None, finish: str | None = None, id: str = "chatcmpl-s", **more: Any) -> bytes:
    said = ({} if text is None else {"content": text}) | more
    return event({"id": id, "model": "m", "choices": [{"index": 0, "delta": said, "finish_reason": finish}]})


@pytest.mark.parametrize(
    ("name", "pieces", "end", "state", "text"),
    [
        ("s1", [delta("Hel", id="s1"), b": ping\r\n\r\n", delta("lo", id="s1"), delta(None, "stop", "s1")], True, "complete", "Hello"),
        ("s2", [delta("Hello", "length", "s2"), b"data: [DONE]\n\n"], True, "unfinished", "Hello"),
        ("s3", [delta("Hel", id="s3")], False, "unfinished", "Hel"),
        ("s4", [delta("Hel", id="s4"), event({"error": {"message": "out of memory"}})], True, "error", "Hel"),
        ("s5", [delta("한", id="s5")[:60], delta("한", id="s5")[60:], delta("글", "stop", "s5")], True, "complete", "한글"),
        ("s6", [delta("Done", "stop", "s6")], False, "complete", "Done"),
    ],
    ids=["whole", "length", "broken off", "failed", "split", "broken after its end"],
)  # fmt: skip
def test_a_stream_is_recorded_as_far_as_it_came(
    front: Front, name: str, pieces: list[bytes], end: bool, state: str, text: str
) -> None:
    front.upstream.says(*chunked(*pieces, end=end))
    try:
        front.http.post(CHAT, json={"model": "m", "stream": True, "messages": [user("Hi")], "user": name})
    except Exception as error:
        assert not end, error
    (messages,) = front.recorded(name)
    assert (messages[-1].text, messages[-1].state) == (text, state)


def test_a_client_that_leaves_leaves_an_unfinished_answer(front: Front) -> None:
    def talk(_request: bytes, connection: Any) -> None:
        for piece in chunked(*[delta(f"{number} ", id="left-1") for number in range(300)]):
            connection.sendall(piece) if piece else time.sleep(0.01)

    front.upstream.script = talk
    sent = {"model": "m", "stream": True, "messages": [user("Count")], "user": "leo"}
    with front.http.stream("POST", CHAT, json=sent) as answer:
        next(answer.iter_raw())
    (messages,) = front.recorded("leo")
    assert messages[-1].state == "unfinished" and messages[-1].text.startswith("0 ")


def test_a_stream_of_tool_calls_is_put_together(front: Front) -> None:
    def call(index: int, **function: str) -> dict[str, Any]:
        return {"index": index, "id": f"c{index}" if "name" in function else None, "function": function}

    pieces = [
        delta(role="assistant", reasoning="Look.", id="tools-1"),
        delta(tool_calls=[call(0, name="weather", arguments="")]),
        delta(tool_calls=[call(0, arguments='{"city": ')]),
        delta(tool_calls=[call(0, arguments='"Ulm"}')]),
        delta(tool_calls=[call(1, name="time", arguments="{}")]),
        delta(None, "tool_calls"),
    ]
    front.upstream.says(*chunked(*pieces))
    front.http.post(CHAT, json={"model": "m", "stream": True, "messages": [user("Both")], "user": "tea"})
    said = body(front.recorded("tea")[0][-1])
    assert [(one["id"], one["name"], one["arguments"]) for one in said["tool_calls"]] == [
        ("c0", "weather", '{"city": "Ulm"}'), ("c1", "time", "{}"),
    ]  # fmt: skip
    assert said["reasoning"] == "Look." and said["content"] == ""


def test_several_choices_are_siblings(front: Front) -> None:
    answer = completion("A", "chatcmpl-n")
    answer["choices"].append({"index": 1, "message": assistant("B"), "finish_reason": "stop"})
    ask(front, [user("Pick")], answer, "nils")
    (messages,) = front.recorded("nils", 1, 3)
    assert [m.text for m in messages] == ["Pick", "A", "B"] and messages[1].parent == messages[2].parent


def test_compressed_bodies_are_read(front: Front) -> None:
    front.upstream.says(
        whole(gzip.compress(json.dumps(completion("Hello!", "chatcmpl-gz")).encode()), "Content-Encoding: gzip")
    )
    raw = gzip.compress(json.dumps({"model": "m", "messages": [user("Hi")], "user": "gil"}).encode())
    headers = {
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
        "Accept-Encoding": "br, gzip;q=0.5, zstd",
    }
    assert front.http.post(CHAT, content=raw, headers=headers).json()["id"] == "chatcmpl-gz"
    assert front.upstream.body() == raw and front.upstream.head()["accept-encoding"] == "gzip;q=0.5"
    assert [m.text for m in front.recorded("gil")[0]] == ["Hi", "Hello!"]


def test_pictures_are_noted_and_not_kept(front: Front) -> None:
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    for number in (1, 2):
        chat = [{"role": "user", "content": parts}] + ([assistant("A cat."), user("Sure?")] if number == 2 else [])
        ask(front, chat, completion("A cat." if number == 1 else "Yes.", f"chatcmpl-pic-{number}"), "pia")
    (messages,) = front.recorded("pia", 1, 4)
    assert body(messages[0])["parts"][0]["type"] == "image" and "AAAA" not in messages[0].text


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        ("500 Oops", {"error": {"message": "no"}}),
        ("200 OK", {"unlike": "a completion"}),
        ("200 OK", completion("", "chatcmpl-e")),
    ],
    ids=["error", "no completion", "empty"],
)
def test_what_is_no_answer_is_not_recorded(front: Front, status: str, answer: dict[str, Any]) -> None:
    front.upstream.says(whole(answer, status=status))
    front.http.post(CHAT, json={"model": "m", "messages": [user("Hi")], "user": "nora"})
    ask(front, [user("After")], completion("Yes.", f"chatcmpl-after-{len(json.dumps(answer))}"), "otto")
    front.recorded("otto")
    front.settle()
    assert not front.is_known("nora")


# ---- Responses ---------------------------------------------------------------------------------------------


def response(id: str, *output: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    return {"id": id, "object": "response", "status": status, "model": "m-1", "output": list(output)}


def message(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "A guest."}]}
CALL = {"type": "function_call", "call_id": "call_9", "name": "weather", "arguments": '{"city": "Ulm"}'}


def test_responses_go_on_by_their_id(front: Front) -> None:
    front.upstream.says(whole(response("resp_a1", THOUGHT, message("Hello!"))))
    sent = {"model": "m", "input": "Hi", "instructions": "Be kind.", "user": "rosa"}
    front.http.post(RESPONSES, json=sent)
    front.upstream.says(whole(response("resp_a2", message("Yes."))))
    front.http.post(RESPONSES, json={"model": "m", "input": "Sure?", "previous_response_id": "resp_a1", "user": "rosa"})
    (messages,) = front.recorded("rosa", 1, 5)
    assert [m.role for m in messages] == ["system", "user", "assistant", "user", "assistant"]
    assert [m.parent for m in messages[1:]] == [m.id for m in messages[:-1]]
    assert body(messages[2]) == {"content": "Hello!", "reasoning": "A guest."}
    assert front.http.put("/v1/votes/resp_a2", json={"value": "up", "user": "rosa"}).status_code == 200


def test_responses_that_resend_their_items_append(front: Front) -> None:
    items: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "input_text", "text": "Weather in Ulm?"}]}]
    front.upstream.says(whole(response("resp_b1", THOUGHT, CALL)))
    front.http.post(RESPONSES, json={"model": "m", "input": items, "user": "rudi"})
    items += [THOUGHT, CALL, {"type": "function_call_output", "call_id": "call_9", "output": "21"}]
    front.upstream.says(whole(response("resp_b2", message("21 degrees."))))
    front.http.post(RESPONSES, json={"model": "m", "input": items, "user": "rudi"})
    (messages,) = front.recorded("rudi", 1, 4)
    assert body(messages[1])["tool_calls"][0]["name"] == "weather" and messages[3].text == "21 degrees."


@pytest.mark.parametrize(
    ("name", "last", "state"),
    [
        ("rs1", {"type": "response.completed", "response": response("rs1", message("Hello!"))}, "complete"),
        (
            "rs2",
            {"type": "response.incomplete", "response": response("rs2", message("Hello!"), status="incomplete")},
            "unfinished",
        ),
        ("rs3", None, "unfinished"),
    ],
    ids=["completed", "incomplete", "broken off"],
)
def test_streamed_responses(front: Front, name: str, last: dict[str, Any] | None, state: str) -> None:
    events = [
        {"type": "response.created", "response": response(name, status="in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": message("") | {"content": []}},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "lo!"},
        *([last] if last else []),
    ]
    front.upstream.says(*chunked(*map(event, events), end=last is not None))
    try:
        front.http.post(RESPONSES, json={"model": "m", "input": "Hi", "stream": True, "user": name})
    except Exception as error:
        assert last is None, error
    (messages,) = front.recorded(name)
    assert (messages[-1].text, messages[-1].state) == ("Hello!", state)


@pytest.mark.parametrize("more", [{"previous_response_id": "resp_unknown"}, {"conversation": "conv_1"}])
def test_a_response_whose_history_is_elsewhere_is_not_half_recorded(front: Front, more: dict[str, Any]) -> None:
    front.upstream.says(whole(response(f"resp_{len(more)}", message("Yes."))))
    front.http.post(RESPONSES, json={"model": "m", "input": "And then?", "user": "rita"} | more)
    ask(front, [user("After")], completion("Yes.", f"chatcmpl-rita-{sorted(more)[0]}"), f"after-{sorted(more)[0]}")
    front.recorded(f"after-{sorted(more)[0]}")
    front.settle()
    assert not front.is_known("rita")
