"""Chats in the shapes that other programs have, brought into ours; what is refused says what to send instead."""

import json
from typing import Any

import msgspec
import pytest

from pipelines.errors import DataError
from service.ingest.body import Body, decode, encode, is_same, message_digest
from service.ingest.parse import parse_comparison, parse_noted, parse_retraction, parse_vote
from service.ingest.wire import (
    ConversationIn,
    MessageIn,
    PartIn,
    RetractionIn,
    ToolCallIn,
    ToolIn,
    VoteIn,
    WholeComparisonIn,
)
from service.vault import PersonKey

USER = {"role": "user", "content": "Warm in Ulm?"}
CALL = ToolCallIn("weather", '{"city":"Ulm"}', "t-1")


def row(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"id": "c", "user": "u", "messages": [USER, *messages], **fields}


def read(given: Any) -> tuple[ConversationIn, tuple[str, ...]]:
    return parse_noted(json.dumps(given).encode())


def answer(**fields: Any) -> MessageIn:
    return read(row({"role": "assistant"} | fields))[0].messages[1]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param({"content": "Yes."}, MessageIn("assistant", "Yes."), id="text"),
        pytest.param(
            {"content": None, "tool_calls": [{"id": "t-1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}}]},
            MessageIn("assistant", "", tool_calls=(CALL,)),
            id="openai-tool-call",
        ),
        pytest.param(
            {"tool_calls": [{"id": "t-1", "name": "weather", "arguments": {"city": "Ulm"}}]},
            MessageIn("assistant", "", tool_calls=(CALL,)),
            id="bare-tool-call-with-an-object",
        ),
        pytest.param(
            {"content": None, "function_call": {"name": "weather", "arguments": '{"city":"Ulm"}'}},
            MessageIn("assistant", "", tool_calls=(ToolCallIn("weather", '{"city":"Ulm"}'),)),
            id="old-function-call",
        ),
        pytest.param(
            {"content": "", "tool_calls": [{"name": "now", "arguments": ""}]},
            MessageIn("assistant", "", tool_calls=(ToolCallIn("now", "{}"),)),
            id="no-arguments",
        ),
        pytest.param(
            {"content": "", "tool_calls": [{"name": "now", "arguments": "{broken"}]},
            MessageIn("assistant", "", tool_calls=(ToolCallIn("now", "{broken"),)),
            id="arguments-that-are-no-json-stay",
        ),
        pytest.param(
            {"content": [{"type": "text", "text": "Ye"}, {"type": "text", "text": "s."}]},
            MessageIn("assistant", "Yes."),
            id="parts-of-text",
        ),
        pytest.param(
            {"content": [{"type": "thinking", "thinking": "Ulm."}, {"type": "tool_use", "id": "t-1", "name": "weather", "input": {"city": "Ulm"}}]},
            MessageIn("assistant", "", reasoning="Ulm.", tool_calls=(CALL,)),
            id="anthropic",
        ),
        pytest.param({"content": "Yes.", "reasoning_content": "Ulm."}, MessageIn("assistant", "Yes.", reasoning="Ulm."), id="reasoning-content"),
        pytest.param({"content": "Yes.", "thinking": "Ulm."}, MessageIn("assistant", "Yes.", reasoning="Ulm."), id="thinking"),
        pytest.param({"content": None, "refusal": "I cannot."}, MessageIn("assistant", "I cannot."), id="a-refusal-is-what-people-saw"),
        pytest.param(
            {"content": "Yes.", "refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None},
            MessageIn("assistant", "Yes."),
            id="empty-keys-of-openai",
        ),
        pytest.param({"content": "Yes.", "weight": 0.0}, MessageIn("assistant", "Yes.", weight=0), id="weight"),
        pytest.param({"content": None, "state": "error"}, MessageIn("assistant", "", state="error"), id="a-failed-turn"),
    ],
)  # fmt: skip
def test_a_message_of_any_known_client_is_read(sent: dict[str, Any], expected: MessageIn) -> None:
    assert answer(**sent) == expected


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, "image"),
        ({"type": "input_image", "image_url": "https://x.invalid/1.png"}, "image"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "audio"),
        ({"type": "video_url", "video_url": {"url": "https://x.invalid/1.mp4"}}, "video"),
        ({"type": "file", "file": {"file_id": "f-1"}}, "file"),
        ({"type": "document", "source": {"data": "AAAA"}}, "file"),
    ],
)
def test_a_part_that_is_no_text_is_known_by_a_hash_and_noted(part: dict[str, Any], kind: str) -> None:
    parsed, notes = read(row({"role": "user", "content": [part, {"type": "text", "text": "What is it?"}]}))
    message = parsed.messages[1]
    assert message.content == "What is it?"
    assert [(one.type, len(one.digest), one.dropped) for one in message.parts] == [(kind, 64, True)]
    assert len(notes) == 1 and "is not kept" in notes[0]
    assert "AAAA" not in str(message) and "x.invalid" not in str(message)


def test_a_dropped_part_sent_again_keeps_its_digest() -> None:
    sent = row({"role": "user", "content": [{"type": "image", "digest": "abc", "dropped": True}]})
    assert read(sent)[0].messages[1].parts == (PartIn("image", "abc"),)


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ({"name": "now"}, ToolIn("now")),
        ({"type": "function", "function": {"name": "now", "strict": True, "parameters": {"type": "object"}}}, ToolIn("now", "", {"type": "object"})),
        ({"name": "now", "description": "The time.", "input_schema": {"type": "object"}}, ToolIn("now", "The time.", {"type": "object"})),
    ],
    ids=["bare", "openai", "anthropic"],
)  # fmt: skip
def test_definitions_of_tools_are_read(tool: dict[str, Any], expected: ToolIn) -> None:
    assert read(row(tools=[tool]))[0].tools == (expected,)


def test_a_tools_result_is_a_message_of_its_own_role() -> None:
    tool = {"role": "tool", "tool_call_id": "t-1", "content": {"degrees": 21}}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t-1", "content": "21"}]}
    messages = read(row(tool, result))[0].messages[1:]
    assert [(one.role, one.content, one.tool_call_id) for one in messages] == [
        ("tool", '{"degrees":21}', "t-1"),
        ("tool", "21", "t-1"),
    ]


@pytest.mark.parametrize(
    ("value", "side"),
    [
        *((value, "up") for value in ("up", 1, 1.0, True, "1", "true", "thumbs_up", "thumbsUp", "thumbs-up", "UP", "👍", "good")),
        *((value, "down") for value in ("down", -1, False, "-1", "false", "thumbs_down", "thumbsDown", "Thumbs Down", "👎")),
    ],
    ids=repr,
)  # fmt: skip
def test_a_thumb_in_any_spelling_is_up_or_down(value: Any, side: str) -> None:
    (vote,) = read(row({"role": "assistant", "content": "Yes."}, votes=[{"message": 1, "value": value}]))[0].votes
    assert vote.value == side


def test_a_vote_says_more_than_its_thumb() -> None:
    more = {"reason": "too_verbose", "comment": "Long!", "time": 1_795_000_000_123, "source": "judge", "rater": "j"}
    (vote,) = read(row({"role": "assistant", "content": "Y"}, votes=[{"message": 1, "value": True} | more]))[0].votes
    assert (vote.reason, vote.comment, vote.source, vote.user) == ("too_verbose", "Long!", "judge", "j")
    assert vote.time is not None and vote.time.isoformat() == "2026-11-18T11:06:40.123000+00:00"


def test_the_older_name_of_whoever_votes_is_read_wherever_feedback_is_sent() -> None:
    assert parse_vote(b'{"value": 1, "rater": "u-4"}').user == "u-4"
    assert parse_retraction(b'{"rater": "u-4", "value": "thumbs_up"}') == RetractionIn("u-4", value="up")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        pytest.param(
            row({"role": "bot", "content": "Y"}),
            "messages[1].role: 'bot' is none of system, developer, user, assistant, tool; send 'assistant'",
            id="role",
        ),
        pytest.param({"id": "c", "user": "u", "conversations": []}, "unknown field 'conversations'; send one conversation as {id, user, messages: [{role, content}]}, several as a list of them", id="sharegpt"),
        pytest.param(row({"from": "gpt", "value": "Y"}), "messages[1]: it has neither `content` nor `tool_calls`; send", id="sharegpt-message"),
        pytest.param(row({"role": "assistant", "content": "Y", "reasonning": "x"}), "unknown field 'reasonning' in messages[1]; did you mean 'reasoning'?", id="typo-of-our-key"),
        pytest.param(row({"role": "assistant", "contnt": "Y"}), "unknown field 'contnt' in messages[1]; did you mean 'content'?", id="typo-of-content"),
        pytest.param(row({"role": "assistant", "content": "Y", "refusals": None, "tex": 1}), "unknown field 'tex' in messages[1]", id="unknown-key"),
        pytest.param({"user": "u", "messages": [USER]}, "object missing required field `id`; send an id of your own", id="no-id"),
        pytest.param(row("hello"), 'messages[1]: expected `object`, got `str`; send a list of {"role": ..., "content": ...}', id="no-message"),
        pytest.param(row({"role": 7, "content": "Y"}), "messages[1].role: 7 is none of system, developer,", id="role-of-no-text"),
        pytest.param(row({"role": "user", "content": "Y", "pictures": []}), "unknown field 'pictures' in messages[1]; known are content, id,", id="no-bad-hint"),
        pytest.param(row(concent=True), "unknown field 'concent'; did you mean 'consent'?", id="consent"),
        pytest.param(row(votes=[{"message": 1, "value": "meh"}]), "votes[0].value: 'meh' is no thumb (up, down, 1, -1, true, false, thumbs_up, thumbs_down); send up or down", id="thumb"),
        pytest.param(row(votes=[{"message": 1, "value": 0}]), "votes[0].value: 0 is no thumb (up, down, 1, -1, true, false, thumbs_up, thumbs_down); leave a vote out", id="no-thumb"),
        pytest.param(row(votes=[{"message": 1, "value": 1, "source": "robot"}]), "votes[0].source: 'robot' is none of person, judge, implicit; send one of them", id="source"),
        pytest.param(row(votes=[{"message": 1, "value": 1, "reason": "a\nb"}]), "votes[0].reason: a reason is a tag of at most 64 letters, digits and . : / & + ' -; send what people wrote as `comment`", id="reason"),
        pytest.param(row({"role": "assistant"}), "messages[1]: it has neither `content` nor `tool_calls`; send `content` as a text, as a list of parts, or null beside tool calls", id="nothing"),
        pytest.param(row({"role": "assistant", "content": [{"type": "hologram"}]}), "messages[1].content[0].type: 'hologram' is no kind of part; send text, image_url, input_audio, video or file", id="part"),
        pytest.param(row({"role": "assistant", "content": None, "tool_calls": [{"name": "f", "arguments": [1]}]}), "messages[1].tool_calls[0].arguments: [1] is neither a JSON text nor an object; send one of them", id="arguments"),
        pytest.param(row({"role": "assistant", "content": "Y", "weight": 2}), "messages[1].weight: 2 is neither 0 nor 1; send 0 where nothing shall be learned from a turn", id="weight"),
        pytest.param(row({"role": "assistant", "content": "Y", "state": "done"}), "messages[1].state: 'done' is none of complete, unfinished, error; send one of them", id="state"),
        pytest.param(row({"role": "assistant", "content": "Y", "reasoning": "a", "thinking": "b"}), "messages[1]: `reasoning` and `thinking` are two names of one field, and differ; send `reasoning`", id="two-names"),
        pytest.param(row({"role": "user", "content": [{"type": "tool_result", "content": "1"}, {"type": "text", "text": "2"}]}), "messages[1].content: a tool_result stands with others in one message; send each as a message of the role tool, with tool_call_id", id="tool-results"),
        pytest.param(row({"role": "assistant", "content": 3}), "messages[1].content: expected `str`, got `int`; send a text, a list of parts, or null beside tool calls", id="content"),
    ],
)  # fmt: skip
def test_a_refusal_says_the_field_its_values_and_what_to_send_instead(given: Any, sentence: str) -> None:
    with pytest.raises(DataError) as refusal:
        read(given)
    assert str(refusal.value).startswith(sentence)


def test_keys_of_well_known_clients_are_noted_and_ignored() -> None:
    message = {"role": "assistant", "content": "Y", "annotations": [{"type": "url_citation"}], "logprobs": None}
    parsed, notes = read(row(message, temperature=0.7))
    assert parsed.messages[1] == MessageIn("assistant", "Y")
    assert notes == ("`temperature` is not kept", "`annotations` of messages is not kept")


def test_a_comparison_may_compare_two_calls_of_tools() -> None:
    calls = [
        {"content": None, "tool_calls": [{"name": "weather", "arguments": {"city": city}}]} for city in ("Ulm", "Bonn")
    ]
    body = {"id": "p", "user": "u", "prompt": "Warm in Ulm?", "chosen": calls[0], "rejected": calls[1]}
    parsed, _ = parse_comparison(json.dumps(body).encode())
    assert isinstance(parsed, WholeComparisonIn)
    assert [one.tool_calls[0].arguments for one in (parsed.chosen, parsed.rejected)] == [
        '{"city":"Ulm"}',
        '{"city":"Bonn"}',
    ]


BODIES = (
    Body("Hi"),
    Body("Hi", "I greet."),
    Body("", "", (CALL,)),
    Body("21", tool_call_id="t-1", name="weather"),
    Body("What?", parts=(PartIn("image", "d"),)),
    Body("Hi", weight=0),
)


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_body_opens_as_it_was_sealed_and_text_alone_is_sealed_as_that_text(body: Body) -> None:
    plain, structured = encode(body)
    assert decode(plain, structured) == body
    assert structured == (body != Body("Hi")) and (structured or plain == b"Hi")


def test_the_digest_covers_all_that_a_message_says() -> None:
    key = PersonKey(b"k" * 32)
    digests = {message_digest(key, "p", "assistant", one.content, None if one.is_plain else one) for one in BODIES}
    assert len(digests) == len(BODIES)


def test_a_history_sent_again_without_reasoning_is_the_same_and_with_another_is_not() -> None:
    key = PersonKey(b"k" * 32)
    plain, thought, other = (
        message_digest(key, "p", "assistant", "Hi", body) for body in (None, Body("Hi", "a"), Body("Hi", "b"))
    )
    assert is_same(thought, plain) and is_same(thought, thought)
    assert not is_same(thought, other) and not is_same(plain, thought)


def test_our_own_shape_is_read_as_it_is_encoded() -> None:
    body = MessageIn("assistant", "", reasoning="r", tool_calls=(CALL,), parts=(PartIn("image", "d"),), weight=0)
    whole = ConversationIn("c", "u", (body,), tools=(ToolIn("now"),))
    assert parse_noted(msgspec.json.encode(whole)) == (whole, ())


ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**30, 1e308, "", "x", [], {}, [1], [[]], {"a": 1}, 1.5, "2026-01-01", {"type": ["a"]}),
    *([{"type": kind} for kind in ("text", "tool_use", "tool_call", "tool_result", "image_url", "thinking")]),
    *({"function": None}, [{"function": {"name": 3}}], [{"function": {"name": "f", "arguments": {"a": 10**30}}}]),
)
KINDS = (*MessageIn.__struct_fields__, "images", "refusal", "function_call", "thinking", "timestamp", "tool_name")


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_whatever_stands_in_whatever_field_is_read_or_refused_in_a_sentence(odd: Any) -> None:
    vote, prompt = {"message": 0, "value": "up"}, {"id": "p", "user": "u", "prompt": [USER]}
    answer = {"content": [{"type": "text", "text": "Y"}, {"type": "image"}]}
    rows: list[dict[str, Any]] = [row({"role": "assistant", **answer, name: odd}) for name in KINDS]
    rows += [row(votes=[vote | {name: odd}]) for name in (*VoteIn.__struct_fields__, "rater")]
    rows += [row() | {name: odd} for name in ConversationIn.__struct_fields__]
    rows += [prompt | {"chosen": answer | {name: odd}, "rejected": {"content": "N"}} for name in KINDS]
    for one in rows:
        for parse in (parse_noted, parse_comparison, parse_vote, parse_retraction):
            try:
                parse(json.dumps(one).encode())
            except DataError as refusal:
                assert str(refusal)
