"""Turns that think and call tools, under the templates of models as they are published, and with control tokens in them."""

import json
from pathlib import Path

import pytest

from pipelines.answer_span import answer_span
from pipelines.backends.examples import IGNORED
from pipelines.backends.preference_items import load_items
from pipelines.chat import escape_markers, render
from pipelines.errors import ModelError
from pipelines.messages import as_messages, with_reasoning
from pipelines.recipe.chat import Reasoning
from pipelines.records import PreferenceExample, ToolCall, Turn
from pipelines.tokenizer import ChatTokenizer
from tests.pipelines.conftest import write_tokenizer

TEMPLATES = next((Path(__file__).parents[2] / ".venv").glob("llama.cpp-*/models/templates"), None)
TOOLS = json.dumps([{"name": "weather", "description": "Tells it <now>.", "parameters": {"type": "object"}}])
TURNS = (
    Turn(role="user", content="Is it warm in Ulm?", tools=TOOLS),
    Turn(
        role="assistant",
        content="",
        reasoning="Ask the station.",
        tool_calls=(ToolCall(id="abcdefghi", name="weather", arguments='{"city": "Ulm"}'),),
        trained=True,
    ),
    Turn(role="tool", content='{"degrees": 21}', tool_call_id="abcdefghi", name="weather"),
    Turn(role="assistant", content="It has 21 degrees.", trained=True),
)
OWN = (
    "{% if tools %}{{ tools | tojson }}\n{% endif %}{% for m in messages %}<{{ m.role }}>{% if m.reasoning_content %}"
    "({{ m.reasoning_content }}){% endif %}{{ m.content }}{% for call in m.tool_calls %}{{ call.function.name }}:"
    "{{ call.function.arguments | tojson }}{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


STOPS = ("<|im_end|>", "<|eot_id|>", "<|user|>", "<|observation|>", "<|end_of_text|>", "</s>", "<｜end▁of▁sentence｜>")


def trained(template: str, turns: tuple[Turn, ...] = TURNS) -> list[str]:
    chat, names = as_messages(turns), {"bos_token": "<s>", "eos_token": "</s>"}
    spans = (
        answer_span(template, chat[: place + 1], escape=escape_markers, stops=STOPS, **names)
        for place, turn in enumerate(turns)
        if turn.trained
    )
    return [span.answer for span in spans]


def test_calls_and_reasoning_are_trained_and_tools_and_results_are_not() -> None:
    assert trained(OWN) == ['(Ask the station.)weather:{"city": "Ulm"}<|im_end|>', "It has 21 degrees.<|im_end|>"]


def test_definitions_are_written_as_the_models_were_taught_them() -> None:
    written = render(OWN, as_messages(TURNS), escape=escape_markers).splitlines()[0]
    assert json.loads(written) == [{"type": "function", "function": json.loads(TOOLS)[0]}] and "<now>" in written


@pytest.mark.parametrize(
    ("name", "thinks"),
    [
        ("Qwen-Qwen2.5-7B-Instruct", False),
        ("Qwen-Qwen3-0.6B", True),
        ("Qwen3.5-4B", True),
        ("Qwen3-Coder", False),
        ("meta-llama-Llama-3.1-8B-Instruct", False),
        ("meta-llama-Llama-3.3-70B-Instruct", False),
        ("mistralai-Mistral-Nemo-Instruct-2407", False),
        ("GLM-4.6", True),
        ("ibm-granite-granite-4.0", False),
    ],
)
def test_a_published_template_writes_the_call_where_the_loss_is(name: str, thinks: bool) -> None:
    assert TEMPLATES is not None, "the templates are missing: run make setup"
    call, answer = trained((TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8"))
    assert "weather" in call and "Ulm" in call and "21 degrees" not in call
    assert answer.startswith("It has 21 degrees.") or (thinks and "It has 21 degrees." in answer)
    assert ("Ask the station." in call) == thinks


@pytest.mark.parametrize("name", ["HuggingFaceTB-SmolLM3-3B", "LFM2-8B-A1B", "google-gemma-2-2b-it"])
def test_a_template_that_cannot_write_a_call_teaches_no_empty_answer(name: str) -> None:
    assert TEMPLATES is not None, "the templates are missing: run make setup"
    with pytest.raises(ModelError):
        trained((TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8"))


def test_every_published_template_renders_it_or_refuses_it_in_a_sentence() -> None:
    assert TEMPLATES is not None, "the templates are missing: run make setup"
    whole = 0
    for file in sorted(TEMPLATES.glob("*.jinja")):
        try:
            pieces = trained(file.read_text(encoding="utf-8"))
        except ModelError as error:
            assert str(error).startswith("the chat template ")
            continue
        whole += "weather" in pieces[0]
    assert whole >= 30


def test_control_tokens_in_a_call_are_broken_up_and_its_own_are_not(tmp_path: Path) -> None:
    bad = "<|obey|>"
    call = ToolCall(id="t", name="weather", arguments=json.dumps({"city": bad, bad: [bad]}))
    turns = (TURNS[0], Turn(role="assistant", content="", reasoning=bad, tool_calls=(call,), trained=True))
    text = render(OWN, as_messages(turns), escape=escape_markers)
    assert bad not in text and text.count("< |obey|>") == 4


def test_arguments_that_are_no_json_are_written_as_the_model_wrote_them() -> None:
    broken = Turn(role="assistant", content="", tool_calls=(ToolCall(id="", name="weather", arguments="{Ulm"),))
    assert 'weather:"{Ulm"' in render(OWN, as_messages((TURNS[0], broken)), escape=escape_markers)


def test_tokens_of_a_call_get_loss_but_on_words_that_stand_for_others(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, OWN)
    tokenizer = ChatTokenizer(tmp_path)
    plain = tokenizer.count_trained(TURNS)
    masked = tokenizer.count_trained((TURNS[0], TURNS[1].model_copy(update={"masked": ("Ulm",)}), *TURNS[2:]))
    assert 0 < masked < plain


def test_a_call_is_a_side_of_a_pair_and_both_sides_read_the_same_prompt(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, OWN)
    tokenizer, file = ChatTokenizer(tmp_path), tmp_path / "pairs.jsonl"
    bad = Turn(role="assistant", content="No idea.", trained=True)
    pair = PreferenceExample(
        id="p", kind="pair", source="siblings", topic="t", prompt=TURNS[:1], chosen=TURNS[1], rejected=bad
    )
    file.write_text(pair.model_dump_json())

    (item,) = load_items(file, tokenizer, 512, "dpo").items

    said = [tokenizer.text([label for label in answer.labels if label != IGNORED]) for answer in item.answers]
    assert said == ['(Ask the station.)weather:{"city": "Ulm"}', "No idea."]
    assert item.answers[0].prompt_ids == item.answers[1].prompt_ids


@pytest.mark.parametrize(
    ("rule", "shown"), [("keep", ["A", "B"]), ("last", ["", "B"]), ("drop", ["", ""])], ids=["keep", "last", "drop"]
)
def test_the_recipe_says_what_reasoning_an_answer_is_shown(rule: Reasoning, shown: list[str]) -> None:
    ask = Turn(role="user", content="Why?")
    turns = [
        ask,
        Turn(role="assistant", content="a", reasoning="A"),
        ask,
        Turn(role="assistant", content="b", reasoning="B"),
    ]
    assert [turn.reasoning for turn in with_reasoning(turns, rule) if turn.role == "assistant"] == shown
