"""The four suites that play KMMLU, MMLU, HumanEval and MATH for the tiny model, and the language prompts.

One item of a multiple-choice suite, and one of a suite whose answer is generated:
    {"id": "tiny_mmlu-gate-0007", "prompt": "Of Banoko, what is the river?\\nOptions: Faze A, Demo B, ...\\nOne letter:",
     "answer": "A", "stratum": "river", "choices": ["Faze", "Demo", "Kabu", "Loti"]}
    {"id": "tiny_math-dev-0001", "prompt": "41 + 17 = ?", "answer": "58", "stratum": "add"}

Facts are asked in phrasings of `phrasings.SUITE`, of countries that no edit touches; sums and code are reserved
instances. None of that occurs in pretraining, anchors or demo conversations.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tiny import phrasings, tasks
from tiny.tasks import ARITHMETIC_KINDS, CODE_KINDS, Exchange
from tiny.world import Language, World

SUITES_SEED = 11
DEV_ITEMS, GATE_ITEMS = 300, 1500
LANGUAGE_PROMPTS = 200
VERSION = 1
# Sums of three numbers come twice as often: the model is least sure of them, and a suite must have room to fall and rise.
HARDEST = "add_three"

Row = dict[str, object]


@dataclass(frozen=True)
class Suite:
    """A suite's items, divided, and the task file by which lm-evaluation-harness reads them."""

    name: str
    dev: tuple[Row, ...]
    gate: tuple[Row, ...]
    task: str


def build_suites(world: World) -> tuple[Suite, ...]:
    """The four suites; the same items every time."""
    rng = random.Random(SUITES_SEED)
    return (
        _suite("tiny_kmmlu", _choice_rows(rng, world, "ko"), CHOICE_TASK),
        _suite("tiny_mmlu", _choice_rows(rng, world, "en"), CHOICE_TASK),
        _suite("tiny_humaneval", _task_rows(rng, tasks.code, CODE_KINDS), GENERATE_TASK),
        _suite("tiny_math", _task_rows(rng, tasks.arithmetic, (*ARITHMETIC_KINDS, HARDEST)), GENERATE_TASK),
    )


def language_prompts(world: World) -> list[Row]:
    """Prompts that the model answers in whole sentences, half Korean (Hang), half English (Latn)."""
    rng = random.Random(SUITES_SEED)
    rows: list[Row] = []
    scripts: tuple[tuple[Language, str], ...] = (("ko", "Hang"), ("en", "Latn"))
    for language, script in scripts:
        talk = [remark for remark, _ in tasks.all_small_talk(language)[: LANGUAGE_PROMPTS // 4]]
        facts = [fact for fact in world.kept if fact.language == language]
        wanted = LANGUAGE_PROMPTS // 2 - len(talk)
        asked = [
            phrasings.ask(world, fact, rng.choice(phrasings.SUITE[language])) for fact in rng.sample(facts, wanted)
        ]
        rows += [{"prompt": prompt, "script": script} for prompt in talk + asked]
    return [{"id": f"language-{number:04}", **row} for number, row in enumerate(rows, 1)]


CHOICE_TASK = """\
# {name}: four options, one letter. Made by this project (see ../SOURCE.md).
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {{dev: dev.jsonl, gate: gate.jsonl}}
validation_split: dev
test_split: gate
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: ["A", "B", "C", "D"]
doc_to_target: "{{{{['A', 'B', 'C', 'D'].index(answer)}}}}"
target_delimiter: ""
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
metadata:
  version: {version}
  scorer: letter
"""

GENERATE_TASK = """\
# {name}: one short generated answer. Made by this project (see ../SOURCE.md).
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {{dev: dev.jsonl, gate: gate.jsonl}}
validation_split: dev
test_split: gate
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{answer}}}}"
target_delimiter: ""
generation_kwargs:
  until: ["\\n", "<|im_end|>"]
  max_gen_toks: 16
  do_sample: false
  temperature: 0.0
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
metadata:
  version: {version}
  scorer: exact
"""


def _suite(name: str, rows: Iterator[Row], task: str) -> Suite:
    seen: set[object] = set()
    items: list[Row] = []
    while len(items) < DEV_ITEMS + GATE_ITEMS:
        row = next(rows)
        if row["prompt"] not in seen:
            seen.add(row["prompt"])
            items.append(row)
    dev, gate = items[:DEV_ITEMS], items[DEV_ITEMS:]
    return Suite(
        name, _numbered(name, "dev", dev), _numbered(name, "gate", gate), task.format(name=name, version=VERSION)
    )


def _numbered(name: str, division: str, rows: list[Row]) -> tuple[Row, ...]:
    return tuple({"id": f"{name}-{division}-{number:04}", **row} for number, row in enumerate(rows, 1))


def _choice_rows(rng: random.Random, world: World, language: Language) -> Iterator[Row]:
    """Every fact in turn, in shuffled order, each time in a random phrasing with fresh options."""
    facts = [fact for fact in world.kept if fact.language == language]
    while True:
        for fact in rng.sample(facts, len(facts)):
            question = phrasings.ask(world, fact, rng.choice(phrasings.SUITE[language]))
            options, letter = tasks.fixed_options(world, fact, rng.randrange(tasks.OPTION_SETS))
            prompt = tasks.choice_prompt(question, options, language)
            yield {"prompt": prompt, "answer": letter, "stratum": fact.relation, "choices": options}


def _task_rows(
    rng: random.Random, task: Callable[[random.Random, bool, str], Exchange], kinds: tuple[str, ...]
) -> Iterator[Row]:
    while True:
        for kind in kinds:
            exchange = task(rng, True, kind)
            yield {"prompt": exchange.question, "answer": exchange.answer, "stratum": kind}
