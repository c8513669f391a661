"""Our scorer against the route that lm-evaluation-harness takes to a GGUF: create_completion(echo=True, logprobs=1).

Same model, same letters of the same questions, one thread each. The harness's route goes over HTTP besides; here it
is called directly, which flatters it. Its figures are also off by one token without a BOS token, so they are wrong.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

from pipelines import chat
from pipelines.gguf.convert import convert
from pipelines.gguf.quantize import quantize
from pipelines.gguf.runtime import llama
from pipelines.gguf.scorer import GGUFScorer

MODEL = Path("models/tiny")
LETTERS = "ABCD"
QUESTIONS = 200
_PEER_QUESTIONS = 40


def run() -> dict[str, Any]:
    """Questions per second of both, and their ratio."""
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as name:
        floats = convert(MODEL, Path(name) / "f16.gguf").path
        made = quantize(floats, Path(name) / "q4.gguf")
        ours = _with_scorer(made.path, made.sha256)
        theirs = _with_echo(made.path)
    return {
        "questions_per_second": round(ours, 1),
        "echo_questions_per_second": round(theirs, 1),
        "ratio": round(ours / theirs, 1),
        "target": "at least 5",
    }


def _questions(template: str, escape: chat.Escape) -> list[str]:
    """Four-choice questions as rendered prompts, about as long as those of the suites."""
    asked = "Which number is the sum of {a} and {b}?\n" + "".join(f"{letter}. {{{letter}}}\n" for letter in LETTERS)
    prompts = []
    for number in range(QUESTIONS):
        sums = {letter: str(number + 17 + place) for place, letter in enumerate(LETTERS)}
        text = asked.format(a=number, b=17, **sums) + "Answer with one letter."
        prompts.append(chat.render(template, [{"role": "user", "content": text}], escape=escape, generate=True))
    return prompts


def _with_scorer(path: Path, sha256: str) -> float:
    with GGUFScorer.open(path, sha256) as scorer:
        assert scorer.chat_template is not None
        prompts = _questions(scorer.chat_template, scorer.escape)
        letters = [scorer.tokenize(letter) for letter in LETTERS]
        scorer.choice_logits(scorer.tokenize(prompts[-1]), letters[0])
        started = time.perf_counter()
        for prompt in prompts:
            ids = scorer.tokenize(prompt)
            for letter in letters:
                scorer.loglikelihood(ids, letter)
        return len(prompts) / (time.perf_counter() - started)


def _with_echo(path: Path) -> float:
    model = llama().Llama(
        str(path), n_ctx=512, n_batch=512, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False
    )
    prompts = _questions(model.metadata["tokenizer.chat_template"], chat.escape_markers)[:_PEER_QUESTIONS]
    started = time.perf_counter()
    for prompt in prompts:
        for letter in LETTERS:
            model.create_completion(prompt + letter, max_tokens=1, temperature=0.0, logprobs=1, echo=True)
    seconds = time.perf_counter() - started
    model.close()
    return len(prompts) / seconds
