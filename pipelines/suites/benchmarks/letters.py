"""Benchmarks answered by a letter: MMLU, KMMLU and HAE-RAE, asked with the harness's own templates.

cais/mmlu              {"question": "...", "subject": "anatomy", "choices": ["...", ...], "answer": 1}
  as first published   question,A,B,C,D,answer without a line of names; the answer a letter
HAERAE-HUB/KMMLU       {"question": "...", "answer": 2, "A": "...", "B": "...", "C": "...", "D": "...", "Category": "Accounting"}
HAERAE-HUB/HAE_RAE_BENCH  {"query": "... (A) ... (B) ...", "options": "...", "answer": "(B)"}
"""

from pipelines.suites.benchmarks.benchmark import Benchmark, Fields
from pipelines.suites.benchmarks.files import Row
from pipelines.suites.benchmarks.stock import rendered, stock_task

_MMLU, _KMMLU, _HAERAE = (
    "mmlu/default/_default_template_yaml",
    "kmmlu/default/_default_kmmlu_yaml",
    "haerae/_default_haerae_yaml",
)


def _mmlu_fields(row: Row) -> Fields:
    choices = row.fields.get("choices")
    choices = list(choices) if choices is not None else [row.fields[letter] for letter in "ABCD"]
    answer = str(row.fields["answer"]).strip()
    subject = str(row.fields.get("subject") or row.subject)
    return {
        "prompt": rendered(_MMLU, "doc_to_text", {**row.fields, "choices": choices}),
        "answer": answer if answer in "ABCD" else "ABCD"[int(answer)],
        "choices": choices,
        "stratum": subject,
        "cluster": subject,
    }


def _mmlu_introduces(subject: str) -> str:
    return str(stock_task(f"mmlu/default/mmlu_{subject}.yaml")["description"])


def _kmmlu_fields(row: Row) -> Fields:
    subject = str(row.fields.get("Category") or row.subject)
    return {
        "prompt": rendered(_KMMLU, "doc_to_text", row.fields),
        "answer": "ABCD"[int(row.fields["answer"]) - 1],
        "choices": [row.fields[letter] for letter in "ABCD"],
        "stratum": subject,
        "cluster": subject,
    }


def _haerae_fields(row: Row) -> Fields:
    letters = list(stock_task(_HAERAE)["doc_to_choice"])
    count = 1 + max(place for place, letter in enumerate(letters) if letter in row.fields["query"])
    return {
        "prompt": rendered(_HAERAE, "doc_to_text", row.fields),
        "answer": str(row.fields["answer"]).strip(),
        "letters": letters[:count],
        "stratum": row.subject,
        "cluster": row.subject,
    }


BENCHMARKS = (
    Benchmark(
        name="mmlu",
        hub="cais/mmlu",
        licence="MIT",
        scorer="letter",
        metric="acc",
        columns=("question", "answer"),
        fields=_mmlu_fields,
        shots=5,
        introduces=_mmlu_introduces,
        headless=("question", "A", "B", "C", "D", "answer"),
        takes=("all/dev-*.parquet", "all/validation-*.parquet", "all/test-*.parquet"),
    ),
    Benchmark(
        name="kmmlu",
        hub="HAERAE-HUB/KMMLU",
        licence="CC BY-ND 4.0",
        scorer="letter",
        metric="acc",
        columns=("question", "answer", "A", "B", "C", "D"),
        fields=_kmmlu_fields,
        dev=("validation", "train"),
        shots=5,
    ),
    Benchmark(
        name="haerae",
        hub="HAERAE-HUB/HAE_RAE_BENCH",
        licence="CC BY-NC-ND 4.0",
        scorer="letter",
        metric="acc",
        columns=("query", "answer"),
        fields=_haerae_fields,
    ),
)
