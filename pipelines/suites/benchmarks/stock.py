"""The harness's own task definitions, read from its package without importing it (that takes seconds).

stock_task("mmlu/default/mmlu_anatomy.yaml")["doc_to_text"]
    "{{question.strip()}}\\nA. {{choices[0]}}\\n...\\nAnswer:"
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipelines.errors import MissingDependency


@cache
def stock_task(path: str) -> Mapping[str, Any]:
    """A task of lm-evaluation-harness with what it includes; a key that is a function there is None.

    Raises:
        MissingDependency: the harness is not installed, or this version of it has no such task.
    """
    file = _file(path)
    task = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    included = task.pop("include", None)
    return {**(stock_task(str(Path(path).parent / included)) if included else {}), **task}


@cache
def stock_function(path: str, name: str) -> Callable[..., Any]:
    """A function of the file with which a task renders its rows. Raises MissingDependency as `stock_task`."""
    spec = spec_from_file_location(f"stock_{Path(path).parent.name}", _file(path))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[..., Any] = getattr(module, name)
    return function


def rendered(path: str, key: str, row: Mapping[str, Any]) -> str:
    """What a task's template of this key makes of a row. Raises MissingDependency as `stock_task`."""
    return _compiled(str(stock_task(path)[key])).render(**row)


@cache
def _compiled(template: str) -> Template:
    return ImmutableSandboxedEnvironment(keep_trailing_newline=True).from_string(template)


def _file(path: str) -> Path:
    spec = find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependency(
            "benchmarks are asked as lm-evaluation-harness asks them, and it is not installed: pip install "
            "'perennial-service[eval]'"
        )
    file = Path(next(iter(spec.submodule_search_locations))) / "tasks" / path
    if not file.is_file():
        raise MissingDependency(
            f"the lm-evaluation-harness that is installed has no tasks/{path}; install lm-eval 0.4.13"
        )
    return file


class _Loader(yaml.SafeLoader):
    """Plain data; a `!function` becomes None."""


_Loader.add_constructor("!function", lambda loader, node: None)
