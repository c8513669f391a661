"""Prompts for a loaded GGUF, under its own chat template and no other."""

from collections.abc import Sequence

from pipelines import chat
from pipelines.errors import GGUFError
from pipelines.gguf.scorer import GGUFScorer
from pipelines.messages import as_prompt
from pipelines.records import Turn


def template_of(scorer: GGUFScorer) -> str:
    """The chat template inside the GGUF; raises GGUFError if it holds none."""
    if scorer.chat_template is None:
        raise GGUFError("the GGUF holds no chat template, so its prompts cannot be written; export it again")
    return scorer.chat_template


def prompt_ids(scorer: GGUFScorer, turns: Sequence[Turn]) -> list[int]:
    """Token ids of a chat that asks for the assistant's next turn."""
    return scorer.tokenize(chat.render(template_of(scorer), as_prompt(turns), escape=scorer.escape, generate=True))


def question_ids(scorer: GGUFScorer, question: str) -> list[int]:
    """Token ids of a chat of one user turn."""
    return prompt_ids(scorer, [Turn(role="user", content=question)])
