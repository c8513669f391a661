"""What a message holds beside its text is anonymized like text, and JSON stays JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.curate.config import CurationConfig
from pipelines.curate.curate import Curator
from pipelines.curate.strings import map_texts
from pipelines.curate.thinking import split_thinking
from pipelines.records import CleanConversation, CleanMessage, Conversation, Message, ToolCall

SECRET, KEY = b"s" * 32, b"k" * 32
NOTHING = {"role": "assistant", "content": "Done, it is on its way."}


@pytest.fixture(scope="module")
def curator() -> Curator:
    return Curator(CurationConfig(allow_degraded_names=True))


def curated(curator: Curator, *messages: dict[str, object], tools: str = "") -> tuple[CleanMessage, ...]:
    chain = [
        Message.model_validate({"id": str(place), "parent": str(place - 1) if place else None, **one})
        for place, one in enumerate(messages)
    ]
    result = curator.curate(Conversation(id="c", messages=tuple(chain), tools=tools), SECRET, KEY)
    assert isinstance(result, CleanConversation), result
    return result.messages


def call(arguments: object) -> dict[str, object]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    calls = (ToolCall(id="t-1", name="send", arguments=text),)
    return {"role": "assistant", "content": "", "tool_calls": calls}


ASK = {"role": "user", "content": "My name is Anna Schmidt, mail anna.schmidt@web.de. Send my parcel, please."}
KEPT = [
    pytest.param({"order_id": "1234567890"}, id="order-id-of-ten-digits"),
    pytest.param({"order_id": 1234567890}, id="order-number-of-ten-digits"),
    pytest.param({"tracking": "4111111111111111"}, id="tracking-number-that-passes-luhn"),
    pytest.param({"amount": 12.5, "count": 3, "ok": True, "none": None}, id="numbers"),
    pytest.param({"big": 12345678901234567890123, "small": 1e-7}, id="numbers-beyond-floats"),
    pytest.param({"id": 9007199254740993}, id="an-id-beyond-floats"),
    pytest.param({"timestamp": 1795000000123}, id="milliseconds"),
    pytest.param({"zip": "89073", "city": "Ulm"}, id="place"),
    pytest.param([], id="empty"),
]
REPLACED = [
    pytest.param({"rrn": 8803142345678}, "8803142345678", id="identity-number-as-a-number"),
    pytest.param({"rrn": "880314-2345678"}, "880314-2345678", id="identity-number"),
    pytest.param({"to": ["anna.schmidt@web.de"]}, "anna.schmidt@web.de", id="mail-in-a-list"),
    pytest.param({"a": {"b": {"phone": "+49 171 9876543"}}}, "9876543", id="phone-deep-inside"),
    pytest.param({"customerName": "Anna Schmidt"}, "Schmidt", id="name"),
    pytest.param({"anna.schmidt@web.de": 1}, "anna.schmidt@web.de", id="mail-as-a-key"),
    pytest.param({"text": 'He said "call anna.schmidt@web.de"\nnow'}, "anna.schmidt@web.de", id="text-with-escapes"),
]


@pytest.mark.parametrize("arguments", KEPT)
def test_what_is_nobodys_stays_to_the_character(curator: Curator, arguments: object) -> None:
    _, asked, result, _ = curated(
        curator, ASK, call(arguments), {"role": "tool", "content": json.dumps(arguments)}, NOTHING
    )
    assert asked.tool_calls[0].arguments == result.text == json.dumps(arguments)


@pytest.mark.parametrize(("arguments", "value"), REPLACED)
def test_a_persons_data_is_replaced_within_json_which_stays_json(
    curator: Curator, arguments: object, value: str
) -> None:
    tool = {"role": "tool", "content": json.dumps(arguments)}
    _, asked, result, _ = curated(curator, ASK, call(arguments), tool, NOTHING)
    for text in (asked.tool_calls[0].arguments, result.text):
        assert value not in text
        assert type(json.loads(text)) is type(arguments)
    if isinstance(arguments, dict) and value not in arguments:
        assert json.loads(result.text).keys() == arguments.keys()


def test_a_person_has_one_surrogate_in_text_reasoning_and_arguments(curator: Curator) -> None:
    thinking = {"reasoning": "anna.schmidt@web.de asks for her parcel."}
    question, asked, _ = curated(curator, ASK, call({"to": "anna.schmidt@web.de"}) | thinking, NOTHING)
    (surrogate,) = [word for word in question.text.replace(". ", " ").split() if "@" in word]
    assert json.loads(asked.tool_calls[0].arguments) == {"to": surrogate}
    assert asked.reasoning == f"{surrogate} asks for her parcel."
    assert surrogate in asked.masked


def test_arguments_that_are_no_json_are_anonymized_as_text(curator: Curator) -> None:
    _, asked, _ = curated(curator, ASK, call('{"to": "anna.schmidt@web.de'), NOTHING)
    assert "anna.schmidt" not in asked.tool_calls[0].arguments
    assert asked.tool_calls[0].arguments.startswith('{"to": "')


def test_definitions_of_tools_keep_names_and_types_and_lose_people(curator: Curator) -> None:
    tools = json.dumps([{"name": "send", "description": "Ask boss@firm.de", "parameters": {"type": "object"}}])
    first, *others = curated(curator, ASK, NOTHING, tools=tools)
    (tool,) = json.loads(first.tools)
    assert tool["name"] == "send" and tool["parameters"] == {"type": "object"} and "firm.de" not in tool["description"]
    assert not any(message.tools for message in others)


def test_the_name_of_a_user_goes_and_that_of_a_tool_stays(curator: Curator) -> None:
    tool = {"role": "tool", "content": "21", "name": "weather", "tool_call_id": "t-1"}
    user, _, result, _ = curated(curator, ASK | {"name": "anna"}, call({}), tool, NOTHING)
    assert user.name is None and (result.name, result.tool_call_id) == ("weather", "t-1")


@pytest.mark.parametrize(
    ("stored", "reasoning", "content"),
    [
        ("plan</think>\n\nDone.", "plan", "Done."),
        ("<think>\nplan\n</think>\n\nDone.", "plan", "Done."),
        ("<think></think>Done.", "", "Done."),
        ("[THINK]plan[/THINK]Done.", "plan", "Done."),
        ("Done.", "", "Done."),
        ("<think>plan", "", "<think>plan"),
        ("Write `<think>a</think>` around it.\n```\n<think>\n</think>\n```", "", "Write `<think>a</think>` around it.\n```\n<think>\n</think>\n```"),
    ],
    ids=["template-opened-it", "closed", "empty", "mistral", "none", "no-end", "spoken-of"],
)  # fmt: skip
def test_thinking_in_front_of_an_answer_becomes_reasoning(stored: str, reasoning: str, content: str) -> None:
    assert split_thinking(stored) == (reasoning, content)


def test_curation_takes_stored_thinking_apart(curator: Curator) -> None:
    _, answer = curated(curator, ASK, {"role": "assistant", "content": "plan</think>\n\nDone."})
    assert (answer.reasoning, answer.text) == ("plan", "Done.")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(st.text(max_size=10), _JSON, max_size=5)


@given(_OBJECTS)
def test_unchanged_texts_leave_every_character_of_json_in_place(value: dict[str, object]) -> None:
    text = json.dumps(value, indent=1)
    message = Message(id="m", role="tool", content=text, tool_calls=(ToolCall(id="", name="f", arguments=text),))
    assert map_texts(message, lambda one: one.value) == message


@given(_OBJECTS)
def test_whatever_texts_are_changed_to_json_keeps_its_shape(value: dict[str, object]) -> None:
    message = Message(id="m", role="tool", content=json.dumps(value))
    after = json.loads(map_texts(message, lambda one: f'<"{one.label}">').content)
    assert _shape(after) == _shape(json.loads(message.content))


def _shape(value: object) -> object:
    """What may not change: keys that are words, lengths, numbers; texts and long numbers may."""
    if isinstance(value, dict):
        return [_shape(one) for one in value.values()]
    if isinstance(value, list):
        return [_shape(one) for one in value]
    is_long = isinstance(value, int) and not isinstance(value, bool) and len(str(value)) >= 11
    return "text" if (isinstance(value, str) and value) or is_long else value
