"""The contract of stages, held over all of them: one tuple of names, and nothing read that is no part of the key."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
from pydantic import BaseModel

from pipelines.stages import STAGES
from pipelines.stages.contract import Finished, Keyed

ROOT = Path(__file__).resolve().parents[3]
NAMES = [stage.name for stage in STAGES]
OUTSIDE_THE_KEY = {(Keyed, "value"), (Finished, "output"), (Finished, "folder")}


def module_of(name: str) -> ModuleType:
    """The module of a stage: pipelines/stages/train.py, or pipelines/stages/export/export.py."""
    inner = ROOT / "pipelines" / "stages" / name / f"{name}.py"
    return importlib.import_module(f"pipelines.stages.{name}.{name}" if inner.is_file() else f"pipelines.stages.{name}")


def records_in(kind: object) -> Iterator[type[BaseModel]]:
    """The record classes that a type speaks of, itself first, those of its fields too."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            if not field.exclude:
                yield from records_in(field.annotation)
    for part in get_args(kind):
        yield from records_in(part)


def origin_of(record: type[BaseModel]) -> type[BaseModel]:
    """Keyed for Keyed[Path]."""
    found: type[BaseModel] = record.__pydantic_generic_metadata__["origin"] or record
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_is_a_module_with_two_frozen_records_and_run(name: str) -> None:
    stage = module_of(name)

    assert stage.Input.model_config["frozen"] and stage.Output.model_config["frozen"]
    assert list(inspect.signature(stage.run).parameters) == ["input", "out", "context"]
    assert stage.__name__.rpartition(".")[2] == name


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_an_input_is_part_of_its_key(name: str) -> None:
    hidden = {
        (origin_of(record), field)
        for record in records_in(module_of(name).Input)
        for field, about in record.model_fields.items()
        if about.exclude
    }

    assert hidden <= OUTSIDE_THE_KEY


def test_the_spine_runs_the_stages_of_the_tuple_in_their_order() -> None:
    tree = ast.parse((ROOT / "pipelines" / "round.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    ran = [
        ast.unparse(call.args[0]) for call in sorted(calls, key=lambda c: c.lineno) if ast.unparse(call.func) == "run"
    ]

    assert ran == NAMES


def test_the_tuple_of_stages_is_read_without_torch_and_without_llama_cpp() -> None:
    code = "import sys, pipelines.stages; print(sorted({'torch', 'llama_cpp', 'numpy'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout.strip() == "[]"


def test_the_docs_draw_every_stage_in_order_and_say_of_each_what_it_leaves() -> None:
    text = (ROOT / "docs" / "round.md").read_text(encoding="utf-8")
    drawn = re.split(r" ─> ", next(line for line in text.splitlines() if line.startswith("request ─> ")))
    told = [row.split("|")[1].strip() for row in text.splitlines() if re.match(rf"\| ({'|'.join(NAMES)}) \|", row)]

    assert drawn[2:-1] == NAMES and drawn[-1].startswith("promote")
    assert told == [name for name in NAMES if name != "snapshot"] and "## Snapshot" in text
    assert " -> ".join(NAMES) in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
