"""What serving a form costs, and a probe of what it says: measured on a few prompts, answered side by side.

The probes are log-likelihoods of fixed words. A candidate none of whose probes differs from its origin's is the origin as
far as anybody who asks it can tell: its adapter is not in what would be served.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from pipelines.gguf.scorer import GGUFScorer
from pipelines.gguf.writing import Prompt
from pipelines.records import ServedForm, Turn
from pipelines.suites.heldout import MAX_ANSWER_TOKENS, HeldoutItem, split_reference
from pipelines.suites.language import LanguagePrompt
from pipelines.suites.load import Item
from pipelines.suites.prompts import prompt_ids
from pipelines.suites.scores import Cost

PROMPTS = 8


def cost_prompts(
    heldout: Sequence[HeldoutItem], language: Sequence[LanguagePrompt], items: Sequence[Item]
) -> list[tuple[Turn, ...]]:
    """The first chats that end in a question: of held-out answers, else language prompts, else items of a suite."""
    chats = [split_reference(item.example)[0] for item in heldout]
    asked = [turns for turns in chats if turns and turns[-1].role == "user"]
    texts = [prompt.prompt for prompt in language] or [item.question for item in items]
    asked += [(Turn(role="user", content=text),) for text in texts[:PROMPTS]]
    return asked[:PROMPTS]


def measure_cost(scorer: GGUFScorer, form: ServedForm, prompts: Sequence[Sequence[Turn]]) -> Cost:
    """The cost on these chats, the last turn of each a user's; those that the model cannot read whole are left out."""
    asked, probes = [], []
    for turns in prompts:
        ids, words = prompt_ids(scorer, turns), scorer.tokenize(turns[-1].content, special=False)
        if words and len(ids) + max(len(words), MAX_ANSWER_TOKENS) < scorer.max_length:
            probes.append(scorer.loglikelihood(ids, words)[0])
            asked.append(Prompt(ids, MAX_ANSWER_TOKENS))
    started = time.perf_counter()
    answers = scorer.write_all(asked) if asked else []
    seconds = time.perf_counter() - started
    lengths = [len(scorer.tokenize(answer.text, special=False)) + 1 for answer in answers]
    paths = [Path(path) for path in (form.path, form.adapter_path) if path]
    return Cost(
        size_bytes=sum(path.stat().st_size for path in paths),
        answers=len(lengths),
        answer_tokens=sum(lengths) / len(lengths) if lengths else 0.0,
        tokens_per_second=sum(lengths) / seconds if lengths else 0.0,
        probes=tuple(probes),
    )
