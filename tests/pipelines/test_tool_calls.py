"""What each family writes for a call, read back as that call, however its text is cut into pieces."""

import json
from collections.abc import Sequence

import pytest

from pipelines.records import ToolCall, Turn
from pipelines.tool_calls import CallReader, call_format
from tests.pipelines.test_templates import spans, templates, user

ARGUMENTS = {"city": 'Ulm "am" {Ring}, Süd', "days": 3, "units": ["c", "f"], "exact": True, "note": "21"}
TYPES = {"city": "string", "days": "integer", "units": "array", "exact": "boolean", "note": "string"}
TOOL = {
    "name": "weather",
    "description": "Tells it.",
    "parameters": {
        "type": "object",
        "properties": {name: {"type": type, "description": name} for name, type in TYPES.items()},
    },
}
FAMILIES = {
    "Qwen-Qwen2.5-7B-Instruct": 2,
    "Qwen-Qwen3-0.6B": 2,
    "Qwen3-Coder": 2,
    "Qwen3.5-4B": 2,
    "GLM-4.6": 2,
    "meta-llama-Llama-3.1-8B-Instruct": 1,
    "meta-llama-Llama-3.2-3B-Instruct": 1,
    "mistralai-Mistral-Nemo-Instruct-2407": 2,
    "Mistral-Small-3.2-24B-Instruct-2506": 2,
    "google-gemma-4-31B-it-interleaved": 2,
    "ibm-granite-granite-4.0": 2,
    "LFM2.5-8B-A1B": 2,
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": 2,
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": 2,
    "deepseek-ai-DeepSeek-V3.1": 2,
    "deepseek-ai-DeepSeek-V3.2": 2,
    "deepseek-ai-DeepSeek-V4": 2,
    "MiniMax-M2": 2,
    "moonshotai-Kimi-K2": 2,
}


def written(name: str, count: int) -> str:
    """The answer that calls the tool so often, as the family's template writes it."""
    calls = tuple(ToolCall(id=f"abcdefgh{n}", name="weather", arguments=json.dumps(ARGUMENTS)) for n in range(count))
    called = Turn(role="assistant", content="", tool_calls=calls, trained=True)
    (span,) = spans(templates()[name], (user("Warm?", tools=json.dumps([TOOL])), called))
    for end in (
        "<|im_end|>",
        "<|eot_id|>",
        "</s>",
        "<turn|>",
        "<|observation|>",
        "<|tool_response>",
        "<|end_of_text|>",
        "<|END_OF_TURN_TOKEN|>",
        "<｜end▁of▁sentence｜>",
        "[e~[",
    ):
        answer = span.answer.removesuffix(end)
        if answer != span.answer:
            return answer
    raise AssertionError(span.answer)


def read(name: str, pieces: Sequence[str]) -> tuple[str, list[tuple[str, object]]]:
    form = call_format(templates()[name])
    assert form is not None
    reader = CallReader(form, [TOOL])
    said = "".join(map(reader.push, pieces))
    rest, calls = reader.end()
    return said + rest, [(call.name, json.loads(call.arguments)) for call in calls]


@pytest.mark.parametrize(("name", "count"), FAMILIES.items(), ids=list(FAMILIES))
def test_what_a_family_writes_is_read_as_the_calls_that_it_says(name: str, count: int) -> None:
    text = written(name, count)
    for pieces in ([text], list(text), [text[:7], text[7:]]):
        said, calls = read(name, pieces)
        assert said.strip() == "" and calls == [("weather", ARGUMENTS)] * count


@pytest.mark.parametrize("name", list(FAMILIES))
@pytest.mark.parametrize("text", ["It is warm.", "a < b, and <tool", "[TOOL", "{x", "<tool_call>{", "[TOOL_CALLS]so"])
def test_text_that_is_no_call_stays_text_to_the_last_letter(name: str, text: str) -> None:
    assert read(name, list(text)) == (text, [])


def test_text_before_a_call_is_said_at_once() -> None:
    form = call_format(templates()["Qwen-Qwen3-0.6B"])
    assert form is not None
    reader = CallReader(form, [])
    assert reader.push("Let me look. <tool") == "Let me look. " and reader.push("_call>\n") == ""
    reader.push('{"name": "weather", "arguments": {"city": "Ulm"}}\n</tool_call>')
    rest, (call,) = reader.end()
    assert rest == "" and (call.name, call.arguments, len(call.id)) == ("weather", '{"city": "Ulm"}', 9)


def test_a_family_that_is_not_known_has_no_format() -> None:
    assert call_format(templates()["google-gemma-2-2b-it"]) is None
