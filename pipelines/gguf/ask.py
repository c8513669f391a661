"""Greedy answers of a served form to a list of questions, in a process of its own.

    echo '{"form": {...ServedForm...}, "prompts": ["What is the capital of Banoko?"], "max_tokens": 48}' \
        | python -m pipelines.gguf.ask          ->  ["The capital of Banoko is Tilu."]
"""

import json
import sys
from collections.abc import Sequence

from pipelines import chat
from pipelines.errors import GGUFError
from pipelines.gguf.scorer import GGUFScorer
from pipelines.records import ServedForm


def answers(form: ServedForm, prompts: Sequence[str], max_tokens: int) -> list[str]:
    """One greedy answer per prompt, each a chat of its own under the model's own template."""
    scorer = GGUFScorer(form)
    template = scorer.chat_template
    if template is None:
        raise GGUFError(f"{form.path} holds no chat template; export it again from a model that has one")
    rendered = [chat.render(template, [{"role": "user", "content": p}], generate=True) for p in prompts]
    return [scorer.generate(scorer.tokenize(text), max_tokens).strip() for text in rendered]


if __name__ == "__main__":
    request = json.load(sys.stdin)
    form = ServedForm.model_validate(request["form"])
    json.dump(answers(form, request["prompts"], request["max_tokens"]), sys.stdout, ensure_ascii=False)
