"""Benchmarks whose answers are written and then checked: GSM8K, MATH, HumanEval, MBPP and IFEval.

openai/gsm8k              {"question": "...", "answer": "48/2 = <<48/2=24>>24 ... #### 72"}
EleutherAI/hendrycks_math {"problem": "...", "level": "Level 5", "type": "Algebra", "solution": "... \\\\boxed{2} ..."}
openai_humaneval          {"task_id": "HumanEval/0", "prompt": "...", "canonical_solution": "...", "test": "...", "entry_point": "..."}
mbpp                      {"task_id": 11, "text": "...", "code": "...", "test_list": [...], "test_setup_code": ""}
  sanitized               {"task_id": 11, "prompt": "...", "code": "...", "test_list": [...], "test_imports": []}
google/IFEval             {"key": 1000, "prompt": "...", "instruction_id_list": [...], "kwargs": [{...}]}
"""

from dataclasses import replace

from pipelines.suites.benchmarks.benchmark import Benchmark, Fields
from pipelines.suites.benchmarks.files import Row
from pipelines.suites.benchmarks.stock import rendered, stock_task
from pipelines.suites.scorers.maths import last_boxed

_GSM8K, _HUMANEVAL, _MBPP = "gsm8k/gsm8k.yaml", "humaneval/humaneval_instruct.yaml", "mbpp/mbpp_instruct.yaml"
_GREEDY = {"do_sample": False, "temperature": 0.0}
# As mbpp.jsonl is numbered: which tasks are examples, gate, dev, and which are for training.
_MBPP_PARTS = ((10, "prompt"), (510, "test"), (600, "validation"), (974, "train"))


def _gsm8k_fields(row: Row) -> Fields:
    answer = str(row.fields["answer"]).rpartition("####")[2].strip()
    return {"prompt": rendered(_GSM8K, "doc_to_text", row.fields), "answer": answer, "stratum": ""}


def _gsm8k_task() -> dict[str, object]:
    """The harness's looser filter: the last number of the answer."""
    stock = stock_task(_GSM8K)
    chosen = [chain for chain in stock["filter_list"] if chain["name"] == "flexible-extract"]
    return {
        "filter_list": chosen,
        "metric_list": stock["metric_list"],
        "generation_kwargs": {"until": [*stock["generation_kwargs"]["until"]], "max_gen_toks": 512, **_GREEDY},
    }


def _math_fields(row: Row) -> Fields | None:
    answer = last_boxed(row.fields["solution"])
    if not answer:
        return None
    kind = str(row.fields.get("type") or row.subject)
    prompt = f"Problem:\n{row.fields['problem']}\n\nSolution:"
    return {"prompt": prompt, "answer": answer, "stratum": kind, "cluster": kind, "level": row.fields.get("level")}


def _humaneval_fields(row: Row) -> Fields:
    return {
        "prompt": rendered(_HUMANEVAL, "doc_to_text", row.fields),
        "prefill": rendered(_HUMANEVAL, "gen_prefix", row.fields),
        "answer": row.fields["canonical_solution"],
        "program": row.fields["prompt"],
        "tests": f"{row.fields['test']}\ncheck({row.fields['entry_point']})",
        "stratum": "",
    }


def _mbpp_fields(row: Row) -> Fields:
    asked = {**row.fields, "text": row.fields.get("text") or row.fields["prompt"]}
    setup = [*(row.fields.get("test_imports") or []), row.fields.get("test_setup_code") or ""]
    return {
        "prompt": rendered(_MBPP, "doc_to_text", asked),
        "prefill": rendered(_MBPP, "gen_prefix", asked).lstrip("\n"),
        "answer": row.fields["code"].replace("\r\n", "\n"),
        "tests": "\n".join([*filter(None, setup), *row.fields["test_list"]]),
        "stratum": "",
    }


def _mbpp_part(row: Row) -> Row:
    if row.part or not str(row.fields["task_id"]).isdigit():
        return row
    number = int(row.fields["task_id"])
    return replace(row, part=next((part for last, part in _MBPP_PARTS if number <= last), "train"))


def _ifeval_fields(row: Row) -> Fields:
    arguments = [{key: value for key, value in one.items() if value is not None} for one in row.fields["kwargs"]]
    kinds = list(row.fields["instruction_id_list"])
    return {
        "prompt": row.fields["prompt"],
        "answer": ", ".join(kinds),
        "instruction_id_list": kinds,
        "kwargs": arguments,
        "stratum": kinds[0].partition(":")[0],
    }


def benchmarks() -> tuple[Benchmark, ...]:
    """The benchmarks of this file. Raises MissingDependency without the harness, whose settings some of them have."""
    return (
        Benchmark(
            name="gsm8k",
            hub="openai/gsm8k",
            takes=("main/*.parquet",),
            licence="MIT",
            scorer="exact",
            metric="exact_match",
            columns=("question", "answer"),
            fields=_gsm8k_fields,
            shows=lambda row, fields: f"{fields['prompt']} {row.fields['answer']}\n\n",
            dev=("validation", "train"),
            shown=("train",),
            shots=5,
            task=_gsm8k_task(),
        ),
        Benchmark(
            name="math",
            hub="EleutherAI/hendrycks_math",
            licence="MIT",
            scorer="maths",
            metric="math_verify",
            columns=("problem", "solution"),
            fields=_math_fields,
            shows=lambda row, fields: f"{fields['prompt']} {row.fields['solution']}\n\n",
            dev=("validation", "train"),
            shown=("train",),
            shots=4,
            introduces=lambda kind: "Reason step by step, and put the final answer in \\boxed{}.\n\n",
            task={"generation_kwargs": {"until": ["Problem:"], "max_gen_toks": 1024, **_GREEDY}},
        ),
        Benchmark(
            name="humaneval",
            hub="openai/openai_humaneval",
            licence="MIT",
            scorer="python",
            metric="pass_at_1",
            columns=("prompt", "canonical_solution", "test", "entry_point"),
            fields=_humaneval_fields,
            task={"generation_kwargs": {"until": ["\n```"], "max_gen_toks": 1024, **_GREEDY}},
        ),
        Benchmark(
            name="mbpp",
            hub="google-research-datasets/mbpp",
            takes=("full/*.parquet",),
            licence="CC BY 4.0",
            scorer="python",
            metric="pass_at_1",
            columns=("task_id", "code", "test_list"),
            fields=_mbpp_fields,
            shows=lambda row, fields: f"{fields['prompt']}\n{fields['prefill']}{fields['answer']}\n```\n\n",
            shown=("prompt", "train"),
            shots=3,
            task={"generation_kwargs": {"until": ["\n```"], "max_gen_toks": 512, **_GREEDY}},
            adjust=_mbpp_part,
        ),
        Benchmark(
            name="ifeval",
            hub="google/IFEval",
            licence="Apache-2.0",
            scorer="instructions",
            metric="prompt_level_strict_acc",
            columns=("prompt", "instruction_id_list", "kwargs"),
            fields=_ifeval_fields,
            gate=("test", "train", ""),
            dev=(),
            task={"generation_kwargs": {"until": [], "max_gen_toks": 1280, **_GREEDY}},
        ),
    )
