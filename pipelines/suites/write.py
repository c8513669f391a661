"""Writes suites: a folder that appears whole, in the format that load.py reads."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.artifacts import new_folder
from pipelines.errors import Refused, SuiteError
from pipelines.recipe import APART, GUARD_SUITE
from pipelines.suites.load import PREFIXES, Item, Suite, load_suite

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_RESERVED = (*APART, GUARD_SUITE, "candidate", "preference", "sycophancy")
_CHOICES = {
    "letter": "{{letters|default(['A','B','C','D','E','F','G','H','I','J'][:choices|length])}}",
    "likelihood": "{{choices}}",
}


@dataclass(frozen=True)
class SuiteText:
    """A suite before it is written: its name, keys of its YAML (`scorer` and `metric` among them), items, prefixes."""

    name: str
    task: Mapping[str, Any]
    dev: Sequence[Item]
    gate: Sequence[Item]
    prefixes: Mapping[str, str]


def check_name(name: str, folders: Sequence[Path]) -> None:
    """Raise SuiteError if a suite cannot be called so, Refused if one of these folders has one of that name."""
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise SuiteError(
            f"a suite cannot be called {name[:80]!r}: small letters, digits, - _ . only, and not {', '.join(_RESERVED)}"
        )
    for folder in folders:
        if (folder / name).exists():
            raise Refused(f"there is a suite '{name}' already; remove it first (`perennial suites remove {name}`)")


def write_suite(folder: Path, text: SuiteText) -> Suite:
    """The suite, written into a new folder of its name in `folder` and read back.

    Raises:
        SuiteError: what was to be written is no suite; nothing is left of it then.
        ArtifactError: the disk is too small or failed.
    """
    task = _yaml(text)
    lines = {f"{split}.jsonl": _lines(items) for split, items in (("dev", text.dev), ("gate", text.gate))}
    if text.prefixes:
        rows = [{"stratum": stratum, "text": shown} for stratum, shown in sorted(text.prefixes.items())]
        lines[PREFIXES] = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    needed = sum(len(part.encode()) for part in lines.values()) + len(task.encode())
    with new_folder(folder / text.name, needed) as temporary:
        inner = temporary / text.name  # under its own name, so that it is read as it will be
        inner.mkdir()
        for name, content in ({f"{text.name}.yaml": task} | lines).items():
            (inner / name).write_text(content, encoding="utf-8")
        load_suite(inner)
        for path in sorted(inner.iterdir()):
            path.rename(temporary / path.name)
        inner.rmdir()
    return load_suite(folder / text.name)


def _lines(items: Sequence[Item]) -> str:
    return "".join(json.dumps(dict(item.fields), ensure_ascii=False) + "\n" for item in items)


def _yaml(text: SuiteText) -> str:
    """The suite's task: what the harness would need to run it too, and whose scorer does."""
    keys = dict(text.task)
    scorer, metric = keys.pop("scorer"), keys.pop("metric")
    choice = scorer in _CHOICES
    task: dict[str, Any] = {
        "task": text.name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"dev": "dev.jsonl", "gate": "gate.jsonl"}},
        "validation_split": "dev",
        "test_split": "gate",
        "output_type": "multiple_choice" if choice else "generate_until",
        "doc_to_text": "{{prefix|default('')}}{{prompt}}",
        "doc_to_target": "{{answer}}",
        "target_delimiter": "",
        "metric_list": [{"metric": metric, "aggregation": "mean", "higher_is_better": True}],
    }
    if choice:
        task["doc_to_choice"] = _CHOICES[scorer]
    if any(item.fields.get("prefill") for item in text.gate):
        task["gen_prefix"] = "{{prefill}}"
    return yaml.safe_dump(task | keys, allow_unicode=True, sort_keys=False)
