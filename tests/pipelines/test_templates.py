"""Real chat templates: rendered as transformers renders them, and every answer behind the prompt that serving renders.

Those of llama.cpp's archive, which set-up unpacks, and those that trl brings: Qwen, Llama, Gemma, Mistral, gpt-oss, GLM ...
"""

import json
from collections.abc import Iterator
from datetime import datetime
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pipelines.answer_span import AnswerSpan, answer_span
from pipelines.chat import escape_markers, render
from pipelines.errors import ModelError
from pipelines.messages import as_messages
from pipelines.records import ToolCall, Turn
from pipelines.template import pinned, switched

ARCHIVE = next((Path(__file__).parents[2] / ".venv").glob("llama.cpp-*/models/templates"), None)
NAMES = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
TOOLS = json.dumps(
    [{"name": "weather", "description": "Tells it <now>.", "parameters": {"type": "object", "properties": {}}}]
)
CALL = ToolCall(id="abcdefghi", name="weather", arguments='{"city": "Ulm"}')
RESULT = Turn(role="tool", content='{"degrees": 21}', tool_call_id="abcdefghi", name="weather")
ENDS = [
    "</s>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<end_of_turn>",
    "<turn|>",
    "<|tool_response>",
    "<|end_of_text|>",
    "<|return|>",
    "<|END_OF_TURN_TOKEN|>",
    "<｜end▁of▁sentence｜>",
    "<|call|>",
    "<|endofturn|>",
    "<|user|>",
    "<|observation|>",
    "<seed:eos>",
    "[e~[",
]


def user(text: str, **more: Any) -> Turn:
    return Turn(role="user", content=text, **more)


def answer(text: str, **more: Any) -> Turn:
    return Turn(role="assistant", content=text, trained=True, **more)


SYSTEM = Turn(role="system", content="Be kind.")
CHATS = {
    "plain": (user("Hi?"), answer("Hello, you.")),
    "system": (SYSTEM, user("Hi?"), answer("Hello, you."), user("And?"), answer("Fine.")),
    "reasoning": (user("Hi?"), answer("Hello.", reasoning="A wish."), user("And?"), answer("So.", reasoning="More.")),
    "tools": (user("Warm?", tools=TOOLS), answer("", tool_calls=(CALL,)), RESULT, answer("21 degrees.")),
    "all": (
        SYSTEM,
        user("Warm?", tools=TOOLS),
        answer("", reasoning="Ask.", tool_calls=(CALL,)),
        RESULT,
        answer("21."),
    ),
}
TREATED = {
    "Qwen-Qwen2.5-7B-Instruct": "",
    "Qwen-Qwen3-0.6B": "",
    "Qwen3.5-4B": "",
    "Qwen3-Coder": "",
    "qwen3_6": "",
    "qwen3_8": "",
    "meta-llama-Llama-3.1-8B-Instruct": "",
    "meta-llama-Llama-3.2-3B-Instruct": "",
    "meta-llama-Llama-3.3-70B-Instruct": "",
    "google-gemma-4-31B-it": "",
    "gemma4_v5": "",
    "gemma3": "tools all",
    "google-gemma-2-2b-it": "system tools all",
    "mistralai-Mistral-Nemo-Instruct-2407": "",
    "mistralai-Ministral-3-14B-Reasoning-2512": "",
    "Mistral-Small-3.2-24B-Instruct-2506": "",
    "openai-gpt-oss-120b": "",
    "microsoft-Phi-3.5-mini-instruct": "tools all",
    "GLM-4.6": "",
    "GLM-4.7-Flash": "",
    "MiniMax-M2": "",
    "ibm-granite-granite-4.0": "",
    "HuggingFaceTB-SmolLM3-3B": "tools all",
    "LFM2.5-8B-A1B": "",
    "deepseek-ai-DeepSeek-V3.1": "",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "plain system reasoning",
    "llama-cpp-deepseek-r1": "plain system reasoning tools all",
    "Apriel-1.6-15b-Thinker-fixed": "plain system reasoning tools all",
}


@cache
def templates() -> dict[str, str]:
    assert ARCHIVE is not None, "the templates are missing: run make setup"
    brought = Path(str(find_spec("trl").submodule_search_locations[0])) / "chat_templates"  # type: ignore[union-attr,index]
    files = [*ARCHIVE.glob("*.jinja"), *(file for file in brought.glob("*.jinja") if "_training" not in file.stem)]
    return {file.stem: file.read_text(encoding="utf-8") for file in sorted(files)}


def stops_of(template: str) -> list[str]:
    gpt_oss = "<|return|>" in template
    return [end for end in ENDS if end == "</s>" or (end in template and not (gpt_oss and end == "<|end|>"))]


def spans(template: str, turns: tuple[Turn, ...], **more: Any) -> Iterator[AnswerSpan]:
    chat = as_messages(turns)
    for place in (place for place, turn in enumerate(turns) if turn.trained):
        stops = stops_of(template)
        yield answer_span(template, chat[: place + 1], escape=escape_markers, stops=stops, **NAMES, **more)


def test_every_template_renders_byte_for_byte_as_in_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.utils import chat_template_utils

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Clock":
            return cls(2026, 1, 1, 12)

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)
    rendered = 0
    cases = [
        (as_messages(CHATS[name]), generate) for name in ("plain", "reasoning", "all") for generate in (False, True)
    ]
    for name, template in templates().items():
        for chat, generate in cases:
            bare = [{key: value for key, value in message.items() if key != "tools"} for message in chat]
            theirs = partial(
                chat_template_utils.render_jinja_template,
                tools=next((message["tools"] for message in chat if "tools" in message), None),
                chat_template=template,
                add_generation_prompt=generate,
                **NAMES,
            )
            try:
                ours = render(template, chat, escape=escape_markers, generate=generate, **NAMES)
            except ModelError:
                with pytest.raises(Exception):  # noqa: B017 - a template raises what it likes
                    theirs([bare])
                continue
            assert ours == theirs([bare])[0][0], name
            rendered += 1
    assert rendered > 500


@pytest.mark.parametrize(("name", "refused"), TREATED.items(), ids=list(TREATED))
def test_answers_stand_behind_the_prompt_that_serving_renders_or_are_refused(name: str, refused: str) -> None:
    template = templates()[name]
    for chat, turns in CHATS.items():
        if chat in refused.split():
            with pytest.raises(ModelError):
                list(spans(template, turns))
            continue
        trained = [turn for turn in turns if turn.trained]
        for span, turn in zip(spans(template, turns), trained, strict=True):
            assert turn.content in span.answer and span.answer.endswith(tuple(stops_of(template)))
            assert all(word in span.answer for call in turn.tool_calls for word in ("weather", "city", "Ulm"))
            assert turn.reasoning in span.answer or not span.skipped
            assert not any(mark in span.answer for mark in ("Hi?", "Warm?", "Be kind."))


def test_every_template_is_treated_or_refused_in_a_sentence() -> None:
    treated = 0
    for template in templates().values():
        for turns in (CHATS["reasoning"], CHATS["all"]):
            try:
                treated += len(list(spans(template, turns)))
            except ModelError as error:
                assert str(error).startswith("the chat template ")
    assert treated > 270


EMPTY_THOUGHTS = {
    ("Qwen-Qwen3-0.6B", None): ("assistant\n", "<think>\n\n</think>\n\n"),
    ("Qwen-Qwen3-0.6B", "off"): ("<think>\n\n</think>\n\n", ""),
    ("Qwen3.5-4B", None): ("<think>\n", "\n</think>\n\n"),
    ("Qwen3.5-4B", "off"): ("<think>\n\n</think>\n\n", ""),
    ("qwen3_5_nothink", "on"): ("<think>\n", "\n</think>\n\n"),
    ("MiniMax-M2", None): ("<think>\n", "\n</think>\n\n"),
    ("GLM-4.7-Flash", None): ("<think>", "</think>"),
    ("google-gemma-4-31B-it", None): ("<|channel>thought\n<channel|>", ""),
}


@pytest.mark.parametrize(("key", "expected"), EMPTY_THOUGHTS.items(), ids=[f"{a}-{b}" for a, b in EMPTY_THOUGHTS])
def test_an_empty_thought_gets_no_loss(key: tuple[str, str | None], expected: tuple[str, str]) -> None:
    name, thinking = key
    (span,) = spans(switched(templates()[name], thinking), CHATS["plain"])
    assert span.prompt.endswith(expected[0]) and span.skipped == expected[1]
    assert span.answer.startswith("Hello, you.")


def test_reasoning_is_learnt_where_the_model_thinks_and_left_out_where_it_does_not() -> None:
    for thinking, thought in (("on", "A wish.\n</think>\n\nHello.<|im_end|>"), ("off", "Hello.<|im_end|>")):
        first, _ = spans(switched(templates()["Qwen3.5-4B"], thinking), CHATS["reasoning"])
        assert (first.skipped, first.answer) == ("", thought)


def test_a_pinned_template_needs_no_variables_and_says_so_where_it_has_no_such_switch() -> None:
    chat = as_messages(CHATS["plain"])
    for name in ("Qwen-Qwen3-0.6B", "meta-llama-Llama-3.1-8B-Instruct", "google-gemma-4-31B-it"):
        whole = pinned(templates()[name], NAMES)
        assert render(whole, chat, escape=escape_markers) == render(
            templates()[name], chat, escape=escape_markers, **NAMES
        )
    with pytest.raises(ValueError, match="has no switch for `thinking: off`: it reads no enable_thinking or thinking"):
        switched(templates()["meta-llama-Llama-3.1-8B-Instruct"], "off")


def test_a_template_that_begins_with_white_space_keeps_it_when_pinned() -> None:
    assert render(pinned("\n {{ bos_token }}!", NAMES), [], escape=escape_markers) == "\n <s>!"


def test_a_template_that_ends_no_answer_teaches_never_to_stop_and_is_refused() -> None:
    bare = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    with pytest.raises(ModelError, match="ends an answer with no token that ends generation"):
        list(spans(bare, CHATS["plain"]))


def test_a_template_that_changes_an_answer_is_refused() -> None:
    loud = "{% for m in messages %}{{ m.role }}: {{ m.content | upper }}</s>{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    with pytest.raises(ModelError, match="changes the text of an answer"):
        list(spans(loud, CHATS["plain"]))
