"""Greedy answers of a served form to a list of questions, in a process of its own."""

from collections.abc import Sequence
from typing import Any

from pipelines import chat
from pipelines.errors import GGUFError
from pipelines.gguf.scorer import GGUFScorer
from pipelines.gguf.writing import Prompt
from pipelines.messages import as_prompt
from pipelines.records import ServedForm, Turn


def answers(
    form: ServedForm, prompts: Sequence[Sequence[Turn]], max_tokens: int, *, whole: bool = False
) -> list[str | None]:
    """One greedy answer per chat, under the model's own template, as long as its context has room and at most `max_tokens`.

    `whole` gives None for one that was cut off. Raises InputError for a chat that leaves no room for an answer.
    """
    scorer = GGUFScorer(form)
    template = scorer.chat_template
    if template is None:
        raise GGUFError(f"{form.path} holds no chat template; export it again from a model that has one")
    rendered = [chat.render(template, as_prompt(prompt), escape=scorer.escape, generate=True) for prompt in prompts]
    tokens = [scorer.tokenize(text) for text in rendered]
    said = scorer.write_all([Prompt(ids, max(1, min(max_tokens, scorer.max_length - len(ids)))) for ids in tokens])
    return [None if whole and one.cut else one.text.strip() for one in said]


def answer_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """`answers` for pipelines.isolated; a prompt is a list of turns."""
    prompts = [[Turn.model_validate(turn) for turn in prompt] for prompt in arguments["prompts"]]
    form, whole = ServedForm.model_validate(arguments["form"]), arguments.get("whole", False)
    return {"answers": answers(form, prompts, arguments["max_tokens"], whole=whole)}
