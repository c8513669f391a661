"""Rows of other programs' formats: tools and reasoning in each, and nothing bad where bad cannot be marked."""

import json
from typing import Any

import pytest

from pipelines.records import ToolCall, Turn
from service.export.shapes import LabelledAnswer, Shape, SharedChat, SharedPair, shape_row, until_bad

TOOLS = json.dumps([{"type": "function", "function": {"name": "oven", "description": "Heat.", "parameters": {}}}])
CALL = ToolCall(id="k-1", name="oven", arguments='{"zone": "top"}')
ASKED = (Turn(role="system", content="Be short."), Turn(role="user", content="How hot?"))
CALLED = (
    ASKED[0].model_copy(update={"tools": TOOLS}),
    ASKED[1],
    Turn(role="assistant", content="", trained=True, reasoning="Look.", tool_calls=(CALL,)),
    Turn(role="tool", content="220", tool_call_id="k-1", name="oven"),
    Turn(role="assistant", content="220 °C.", trained=True),
)
GOOD, BAD = Turn(role="assistant", content="Hot.", trained=True), Turn(role="assistant", content="Cold.")

WITH_TOOLS: list[tuple[Shape, dict[str, Any]]] = [
    (
        "trl",
        {
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "How hot?"},
                {
                    "role": "assistant",
                    "content": "",
                    "reasoning_content": "Look.",
                    "tool_calls": [
                        {"id": "k-1", "type": "function", "function": {"name": "oven", "arguments": {"zone": "top"}}}
                    ],
                },
                {"role": "tool", "content": "220", "tool_call_id": "k-1", "name": "oven"},
                {"role": "assistant", "content": "220 °C."},
            ],
            "tools": TOOLS,
            "part": "dev",
        },
    ),
    (
        "openai",
        {
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "How hot?"},
                {
                    "role": "assistant",
                    "content": "",
                    "reasoning_content": "Look.",
                    "tool_calls": [
                        {"id": "k-1", "type": "function", "function": {"name": "oven", "arguments": '{"zone": "top"}'}}
                    ],
                    "weight": 1,
                },
                {"role": "tool", "content": "220", "tool_call_id": "k-1", "name": "oven"},
                {"role": "assistant", "content": "220 °C.", "weight": 1},
            ],
            "tools": json.loads(TOOLS),
            "part": "dev",
        },
    ),
    (
        "sharegpt",
        {
            "conversations": [
                {"from": "human", "value": "How hot?"},
                {
                    "from": "function_call",
                    "value": '<think>\nLook.\n</think>\n\n{"name": "oven", "arguments": {"zone": "top"}}',
                },
                {"from": "observation", "value": "220"},
                {"from": "gpt", "value": "220 °C."},
            ],
            "system": "Be short.",
            "tools": json.dumps([{"name": "oven", "description": "Heat.", "parameters": {}}]),
            "part": "dev",
        },
    ),
]


@pytest.mark.parametrize(("shape", "row"), WITH_TOOLS, ids=[shape for shape, _ in WITH_TOOLS])
def test_tools_and_reasoning_have_their_place_in_each_shape(shape: Shape, row: dict[str, Any]) -> None:
    assert shape_row(SharedChat("dev", CALLED), shape) == row


def test_arguments_that_are_no_json_stay_what_the_model_wrote() -> None:
    call = ToolCall(id="k", name="oven", arguments='{"zone": ')
    chat = SharedChat("train", (*ASKED, Turn(role="assistant", content="", trained=True, tool_calls=(call,))))
    assert shape_row(chat, "trl")["messages"][-1]["tool_calls"][0]["function"]["arguments"] == '{"zone": '


PAIR = SharedPair("train", ASKED, GOOD, BAD)
PAIRS: list[tuple[Shape, dict[str, Any]]] = [
    (
        "trl",
        {
            "prompt": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "How hot?"}],
            "chosen": [{"role": "assistant", "content": "Hot."}],
            "rejected": [{"role": "assistant", "content": "Cold."}],
            "part": "train",
        },
    ),
    (
        "openai",
        {
            "input": {
                "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "How hot?"}]
            },
            "preferred_output": [{"role": "assistant", "content": "Hot."}],
            "non_preferred_output": [{"role": "assistant", "content": "Cold."}],
            "part": "train",
        },
    ),
    (
        "sharegpt",
        {
            "conversations": [{"from": "human", "value": "How hot?"}],
            "chosen": {"from": "gpt", "value": "Hot."},
            "rejected": {"from": "gpt", "value": "Cold."},
            "system": "Be short.",
            "part": "train",
        },
    ),
]


@pytest.mark.parametrize(("shape", "row"), PAIRS, ids=[shape for shape, _ in PAIRS])
def test_a_pair_is_a_prompt_and_two_answers(shape: Shape, row: dict[str, Any]) -> None:
    assert shape_row(PAIR, shape) == row


def test_a_labelled_answer_is_one_completion_with_its_label() -> None:
    one = LabelledAnswer("heldout", ASKED[1:], BAD, good=False)
    assert shape_row(one, "trl") == {
        "prompt": [{"role": "user", "content": "How hot?"}],
        "completion": [{"role": "assistant", "content": "Cold."}],
        "label": False,
        "part": "heldout",
    }
    assert shape_row(one, "sharegpt") == {
        "conversations": [{"from": "human", "value": "How hot?"}, {"from": "gpt", "value": "Cold."}],
        "kto_tag": False,
        "part": "heldout",
    }


MORE = Turn(role="user", content="More?")
CUTS = [
    ("all good", (*ASKED, GOOD, MORE, GOOD), 5),
    ("bad at the end", (*ASKED, GOOD, MORE, BAD), 3),
    ("bad in the middle", (*ASKED, GOOD, MORE, BAD, MORE, GOOD), 3),
    ("bad at the start", (*ASKED, BAD, MORE, GOOD), 0),
]


@pytest.mark.parametrize(("turns", "kept"), [cut[1:] for cut in CUTS], ids=[cut[0] for cut in CUTS])
def test_a_chat_ends_before_what_must_not_be_learnt(turns: tuple[Turn, ...], kept: int) -> None:
    chat = until_bad(SharedChat("train", turns))
    assert (chat.turns if chat else ()) == turns[:kept]


def test_openai_marks_what_must_not_be_learnt() -> None:
    row = shape_row(SharedChat("train", (*ASKED, BAD, MORE, GOOD)), "openai")
    assert [turn.get("weight") for turn in row["messages"]] == [None, None, 0, None, 1]
