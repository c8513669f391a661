"""Benchmarks answered by the likelihood of a whole answer: HellaSwag, ARC and KoBEST.

Rowan/hellaswag   {"ctx_a": "...", "ctx_b": "then", "activity_label": "...", "endings": [...], "label": "3", "source_id": "..."}
allenai/ai2_arc   {"question": "...", "choices": {"text": [...], "label": ["A", ...]}, "answerKey": "A"}
  as first published  {"question": {"stem": "...", "choices": [{"text": "...", "label": "A"}, ...]}, "answerKey": "A"}
skt/kobest_v1     one layout each: boolq, copa, hellaswag, sentineg, wic; told apart by their columns
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.errors import DataError
from pipelines.suites.benchmarks.benchmark import Benchmark, Fields
from pipelines.suites.benchmarks.files import Row
from pipelines.suites.benchmarks.stock import rendered, stock_function, stock_task

_ARC, _BOOLQ = "arc/arc_easy.yaml", "kobest/kobest_boolq.yaml"


def _hellaswag_fields(row: Row) -> Fields | None:
    if not str(row.fields["label"]).strip():
        return None  # the part whose answers are kept back
    context = f"{row.fields['ctx_a']} {row.fields['ctx_b'].capitalize()}"
    return {
        "prompt": _plain(f"{row.fields['activity_label']}: {context}"),
        "choices": [_plain(ending) for ending in row.fields["endings"]],
        "answer": str(row.fields["label"]).strip(),
        "stratum": row.fields["activity_label"],
        "cluster": row.fields["source_id"],
    }


def _plain(text: str) -> str:
    """Without the marks that pages of instructions left: [title], [step], double spaces."""
    return re.sub(r" {2,}", " ", re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")))


def _arc_fields(row: Row) -> Fields:
    question, choices = row.fields["question"], row.fields.get("choices")
    if isinstance(question, dict):
        options = question["choices"]
        choices = {key: [option[key] for option in options] for key in ("text", "label")}
        question = question["stem"]
    assert choices is not None
    return {
        "prompt": rendered(_ARC, "doc_to_text", {"question": question}),
        "choices": list(choices["text"]),
        "answer": str(list(choices["label"]).index(row.fields["answerKey"])),
        "stratum": re.split(r"[-_](?:test|train|dev)", row.subject, flags=re.IGNORECASE)[0],
    }


def _kobest_fields(row: Row) -> Fields:
    for columns, (task, ask, choose) in _KOBEST.items():
        if all(column in row.fields for column in columns):
            asked, choices = ask(row.fields), choose(row.fields)
            answer = str(int(row.fields["label"]))
            return {"prompt": asked, "choices": choices, "answer": answer, "stratum": task, "cluster": task}
    raise DataError(f"{row.place} is no row of KoBEST: its columns are {', '.join(row.fields)}")


def _asked_by(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: str(stock_function("kobest/utils.py", name)(row))


def _options(task: str) -> Callable[[Mapping[str, Any]], list[str]]:
    return lambda row: list(stock_task(f"kobest/kobest_{task}.yaml")["doc_to_choice"])


_KOBEST: Mapping[
    tuple[str, ...], tuple[str, Callable[[Mapping[str, Any]], str], Callable[[Mapping[str, Any]], Any]]
] = {
    ("paragraph", "question"): ("boolq", lambda row: rendered(_BOOLQ, "doc_to_text", row), _options("boolq")),
    ("premise", "alternative_1"): (
        "copa",
        _asked_by("copa_doc_to_text"),
        lambda row: [row["alternative_1"], row["alternative_2"]],
    ),
    ("context", "ending_1"): (
        "hellaswag",
        lambda row: f"문장: {row['context']}",
        lambda row: [row[f"ending_{place}"] for place in range(1, 5)],
    ),
    ("context_1", "word"): ("wic", _asked_by("wic_doc_to_text"), _options("wic")),
    ("sentence",): ("sentineg", _asked_by("sentineg_doc_to_text"), _options("sentineg")),
}

BENCHMARKS = (
    Benchmark(
        name="hellaswag",
        hub="Rowan/hellaswag",
        licence="MIT",
        scorer="likelihood",
        metric="acc_norm",
        columns=("ctx_a", "ctx_b", "activity_label", "endings", "label", "source_id"),
        fields=_hellaswag_fields,
        gate=("validation", ""),
        dev=("train",),
    ),
    Benchmark(
        name="arc",
        hub="allenai/ai2_arc",
        licence="CC BY-SA 4.0",
        scorer="likelihood",
        metric="acc_norm",
        columns=("question", "answerKey"),
        fields=_arc_fields,
        dev=("validation", "dev"),
    ),
    Benchmark(
        name="kobest",
        hub="skt/kobest_v1",
        licence="CC BY-SA 4.0",
        scorer="likelihood",
        metric="acc_norm",
        columns=("label",),
        fields=_kobest_fields,
    ),
)
