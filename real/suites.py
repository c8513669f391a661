"""What the model must not lose, from texts that come with packages: nothing is fetched and nothing is shipped.

mmlu.jsonl          281 questions of MMLU with their options, which lm-evaluation-harness ships as examples (MIT)
sentences.jsonl     which sentence comes next in Python's own documentation, of four (PSF licence)
manual.jsonl        passages of that documentation, for their perplexity
"""

import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import lm_eval
import yaml

NAMES = ("mmlu", "sentences", "manual")
SCORERS = {"mmlu": "likelihood", "sentences": "likelihood", "manual": "perplexity"}
_OPTIONS = re.compile(r"\(([ABCD])\)")
_RIGHT = re.compile(r"The answer is \(([ABCD])\)")
_SENTENCE = re.compile(r"(?<=[a-z)][.]) +(?=[A-Z])")
_SHORT, _LONG = 40, 180
_SENTENCES, _PASSAGES, _PASSAGE = 500, 260, 600


def write_suites(folder: Path, seed: int = 0) -> dict[str, int]:
    """Write the three files into a folder; their numbers of items. The same seed and versions give the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    rows = {
        "mmlu": list({row["prompt"]: row for row in _mmlu()}.values()),
        "sentences": _next_sentences(rng),
        "manual": _passages(rng),
    }
    for name, items in rows.items():
        text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return {name: len(items) for name, items in rows.items()}


def _mmlu() -> Iterator[dict[str, Any]]:
    """The questions whose options can be told apart; their answers, whole, are what a model weighs."""
    places = Path(lm_eval.__file__).parent / "tasks" / "mmlu" / "flan_cot_fewshot"
    for path in sorted(places.glob("mmlu_*.yaml")):
        shown = yaml.safe_load(path.read_text(encoding="utf-8"))
        for row in shown["fewshot_config"]["samples"]:
            question, *options = _OPTIONS.split(row["question"])
            choices, right = [option.strip() for option in options[1::2]], _RIGHT.search(row["target"])
            if right and len(choices) == 4 and len(set(choices)) == 4:
                yield {
                    "prompt": " ".join(question.split()),
                    "choices": choices,
                    "answer": choices["ABCD".index(right[1])],
                    "subject": shown["dataset_name"],
                }


def _next_sentences(rng: random.Random) -> list[dict[str, Any]]:
    """Two sentences, the one that follows them, and three from elsewhere in the same chapter."""
    items = []
    for topic, sentences in _chapters():
        for place in range(2, len(sentences)):
            before = sentences[place - 2 : place]
            others = [other for other in sentences if other not in (*before, sentences[place])]
            if len(others) >= 3:
                choices = [sentences[place], *rng.sample(others, 3)]
                rng.shuffle(choices)
                asked = f"Write the sentence that comes next: {' '.join(before)}"
                items.append(
                    {"prompt": asked, "choices": choices, "answer": choices.index(sentences[place]), "cluster": topic}
                )
    return rng.sample(items, _SENTENCES)


def _passages(rng: random.Random) -> list[dict[str, Any]]:
    passages = [
        {"text": " ".join(sentences[place : place + 4])[:_PASSAGE], "cluster": topic}
        for topic, sentences in _chapters()
        for place in range(0, len(sentences) - 3, 4)
    ]
    return rng.sample(passages, min(_PASSAGES, len(passages)))


def _chapters() -> Iterator[tuple[str, Sequence[str]]]:
    """Chapters of the manual with their plain sentences, each once, in order."""
    for topic, text in sorted(topics.items()):
        found = [
            sentence.strip()
            for paragraph in re.split(r"\n\s*\n", text)
            if not paragraph.startswith((" ", "*", "+", "|"))
            for sentence in _SENTENCE.split(" ".join(paragraph.split()))
        ]
        plain = [sentence for sentence in found if _SHORT <= len(sentence) <= _LONG and sentence.endswith(".")]
        yield topic, list(dict.fromkeys(plain))
