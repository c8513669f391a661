"""Mathematical equality: 1/2, 0.5 and \\frac{1}{2} are one answer. math-verify parses and compares (MIT, sympy below)."""

import threading
from typing import Any

from pipelines.errors import MissingDependency
from pipelines.suites.load import Item

_SECONDS = 5  # per text; some expressions would be simplified for ever


def score(item: Item, answer: str) -> float:
    """1 if the answer's last boxed or final expression equals the item's, else 0; what cannot be read is 0.

    Raises:
        MissingDependency: math-verify is not installed.
    """
    parse, verify = load_library()
    # its limits are alarms, which only a main thread can have
    limit = _SECONDS if threading.current_thread() is threading.main_thread() else None
    wanted = parse(f"\\boxed{{{item.answer}}}", parsing_timeout=limit)
    box = last_boxed(answer)  # the library would take every box there is for one answer
    written = parse(f"\\boxed{{{box}}}" if box else answer, parsing_timeout=limit)
    return float(verify(wanted, written, timeout_seconds=limit))


def load_library() -> tuple[Any, Any]:
    """math-verify's `parse` and `verify`. Raises MissingDependency."""
    try:
        from math_verify import parse, verify
    except ImportError as error:
        raise MissingDependency(
            "answers to mathematics are compared by math-verify, which is not installed: pip install "
            "'math-verify[antlr4_13_2]'"
        ) from error
    return parse, verify


def last_boxed(solution: str) -> str:
    """What stands in the last \\\\boxed{...} of a text, braces matched; empty without one."""
    start = solution.rfind("\\boxed{")
    depth, begin = 0, start + len("\\boxed{")
    for place in range(begin, len(solution)) if start >= 0 else ():
        depth += {"{": 1, "}": -1}.get(solution[place], 0)
        if depth < 0:
            return solution[begin:place].strip()
    return ""
