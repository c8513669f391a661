"""Our scorer against two others, on one thread each.

The route that lm-evaluation-harness takes to a GGUF: create_completion(echo=True, logprobs=1), with the same letters of
the same questions. It goes over HTTP besides; here it is called directly, which flatters it. Its figures are also off by
one token without a BOS token, so they are wrong.

And ourselves one answer at a time and without flash attention, as until November 2026: questions and greedy answers on
the tiny model, greedy answers on a model of 85 M random parameters, both ways in turns.
"""

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines import chat
from pipelines.gguf.convert import convert
from pipelines.gguf.quantize import quantize
from pipelines.gguf.runtime import Runtime, llama
from pipelines.gguf.scorer import GGUFScorer
from pipelines.gguf.writing import Prompt
from pipelines.records import ServedForm

MODEL = Path("models/tiny")
LETTERS = "ABCD"
QUESTIONS = 200
_PEER_QUESTIONS = 40
_TURNS = 2


def run() -> dict[str, Any]:
    """Questions per second of ours and of the harness's route, seconds of ours and of one at a time, and the ratios."""
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as name:
        tiny = quantized(MODEL, Path(name))
        ours, theirs = _with_scorer(tiny), _with_echo(Path(tiny.path))
        larger = quantized(random_model(Path(name) / "larger"), Path(name))
        return {
            "questions_per_second": round(ours, 1),
            "echo_questions_per_second": round(theirs, 1),
            "ratio": round(ours / theirs, 1),
            "target": "at least 5",
            "tiny": _against_one_by_one(tiny, answers=200, tokens=12, letters=True),
            "85M": _against_one_by_one(larger, answers=32, tokens=24, letters=False),
        }


def quantized(model: Path, folder: Path) -> ServedForm:
    """The model as Q4_K_M in a folder."""
    made = quantize(convert(model, folder / "f16.gguf").path, folder / f"{model.name}.gguf")
    return ServedForm(kind="merged", path=str(made.path), sha256=made.sha256)


def random_model(folder: Path) -> Path:
    """A Qwen2 of 12 layers and width 768, untrained, with the tiny model's tokenizer."""
    import torch
    from transformers import AutoConfig, Qwen2ForCausalLM

    shutil.copytree(MODEL, folder)
    size = {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12}
    heads = {"num_attention_heads": 12, "num_key_value_heads": 4, "layer_types": ["full_attention"] * 12}
    torch.manual_seed(0)
    Qwen2ForCausalLM(AutoConfig.from_pretrained(MODEL, **size, **heads)).to(torch.bfloat16).save_pretrained(folder)
    return folder


def _against_one_by_one(form: ServedForm, *, answers: int, tokens: int, letters: bool) -> dict[str, Any]:
    """Processor and wall seconds of two turns each way, and how many times quicker ours is."""
    ours = Runtime(threads=1)
    with GGUFScorer(form, ours) as scorer, GGUFScorer(form, replace(ours, width=1, flash_attention=False)) as single:
        assert scorer.chat_template is not None
        texts = _questions(scorer.chat_template, scorer.escape)[:answers]
        asked = [scorer.tokenize(text) for text in texts]
        spent = {name: [0.0, 0.0] for name in ("ours", "one_by_one")}
        for _ in range(_TURNS):
            for name, one in (("one_by_one", single), ("ours", scorer)):
                processor, wall = time.process_time(), time.perf_counter()
                _score(one, asked, tokens, letters)
                spent[name][0] += time.process_time() - processor
                spent[name][1] += time.perf_counter() - wall
    ratios = [round(before / now, 2) for before, now in zip(spent["one_by_one"], spent["ours"], strict=True)]
    return {
        name: {"processor_seconds": round(seconds[0], 2), "wall_seconds": round(seconds[1], 2)}
        for name, seconds in spent.items()
    } | {"times_quicker": {"processor": ratios[0], "wall": ratios[1]}}


def _score(scorer: GGUFScorer, asked: Sequence[Sequence[int]], tokens: int, letters: bool) -> None:
    for prompt in asked if letters else ():
        for letter in LETTERS:
            scorer.loglikelihood(prompt, scorer.tokenize(letter))
    scorer.write_all([Prompt(prompt, tokens) for prompt in asked])


def _questions(template: str, escape: chat.Escape) -> list[str]:
    """Four-choice questions as rendered prompts, about as long as those of the suites."""
    asked = "Which number is the sum of {a} and {b}?\n" + "".join(f"{letter}. {{{letter}}}\n" for letter in LETTERS)
    prompts = []
    for number in range(QUESTIONS):
        sums = {letter: str(number + 17 + place) for place, letter in enumerate(LETTERS)}
        text = asked.format(a=number, b=17, **sums) + "Answer with one letter."
        prompts.append(chat.render(template, [{"role": "user", "content": text}], escape=escape, generate=True))
    return prompts


def _with_scorer(form: ServedForm) -> float:
    with GGUFScorer(form) as scorer:
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
