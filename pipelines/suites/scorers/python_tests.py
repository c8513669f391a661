"""A function written in Python, right if the task's own tests pass in a sandbox.

{"id": "...", "prompt": "Write a solution ...", "prefill": "```python\\ndef add(a, b):\\n", "answer": "    return a + b\\n",
 "program": "def add(a, b):\\n", "tests": "def check(f): ...\\ncheck(add)"}
"""

from pipelines.suites.load import Item
from pipelines.suites.sandbox import run_python

_FENCE = "```"


def score(item: Item, answer: str) -> float:
    """1 if the program, continued by the answer, passes the item's tests, else 0. Raises MissingDependency."""
    return float(run_python(program(item, answer)) == "passed")


def program(item: Item, answer: str) -> str:
    """What is run: what the item begins with, the answer up to the end of its code, the tests."""
    return f"{item.fields.get('program') or ''}{_code(answer)}\n{item.fields['tests']}\n"


def _code(answer: str) -> str:
    """The answer's code: a block of its own if it opens one, else all before the end of the block that was prefilled."""
    head, fence, rest = answer.partition(_FENCE)
    if fence and not head.strip():
        return rest.partition("\n")[2].partition(_FENCE)[0]
    return head
