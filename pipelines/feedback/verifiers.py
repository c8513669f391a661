"""Verifiers: checks of an answer without a judge, which a fresh answer must pass to stand against a bad one.

"What is 17 + 25?"                  a verifier computes it
"Give me JSON with ..."             the answer parses
"Write a Python function ..."       the answer parses
a prompt whose good answer is known the answer says the same
"""

import ast
import json
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction

from pipelines import languages
from pipelines.records import PreferenceExample, Turn
from pipelines.text import fold

# Whether an answer to a prompt is right; None: this verifier cannot tell.
Verify = Callable[[Sequence[Turn], str], bool | None]

_EXPRESSION = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:\s*[-+*/×x÷−]\s*\(?-?\d+(?:\.\d+)?\)?)+(?![\w.]*\w)")
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*(?:\s*/\s*\d+)?")
_FENCE = re.compile(r"```[\w+-]*\n(.*?)```", re.DOTALL)
_JSON_FOLLOWS = re.compile(r"\bjson\s*:", re.IGNORECASE)
_CODE = re.compile(r"^\s*(?:def|class|import|from|for|while|print|return|if|with|@|\w+\s*=)", re.MULTILINE)
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_LONGEST_EXPRESSION = 200
_LONGEST_ANSWER = 20_000


def verify(prompt: Sequence[Turn], answer: str) -> bool | None:
    """What the first verifier that can tell says; None if none can."""
    verdicts = (check(prompt, answer) for check in (computes, is_json, is_python))
    return next((verdict for verdict in verdicts if verdict is not None), None)


def computes(prompt: Sequence[Turn], answer: str) -> bool | None:
    """Whether the last number of the answer is the value of the one expression asked for."""
    expressions = _EXPRESSION.findall(_last_request(prompt))
    value = _value(expressions[0]) if len(expressions) == 1 else None
    if value is None:
        return None
    numbers = _NUMBER.findall(answer.replace("−", "-")[-_LONGEST_ANSWER:])
    return bool(numbers) and _number(numbers[-1]) == value


def is_json(prompt: Sequence[Turn], answer: str) -> bool | None:
    """Whether the answer, or the code block in it, is JSON; None if none was asked for."""
    if not _asks_for_json(_last_request(prompt)) or _asks_for_python(_last_request(prompt)):
        return None
    try:
        json.loads(_code(answer))
    except (ValueError, RecursionError):
        return False
    return True


def is_python(prompt: Sequence[Turn], answer: str) -> bool | None:
    """Whether the answer, or the code block in it, is Python; None if none was asked for."""
    if not _asks_for_python(_last_request(prompt)):
        return None
    code = _code(answer)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return _CODE.search(code) is not None


def agrees_with(well_rated: Mapping[str, Iterable[str]], prompt_cluster: Callable[[Sequence[Turn]], str]) -> Verify:
    """A verifier by the well-rated answers of each prompt cluster: equal to one of them, but for case and punctuation."""
    known = {cluster: {_normalised(answer) for answer in answers} for cluster, answers in well_rated.items()}

    def agrees(prompt: Sequence[Turn], answer: str) -> bool | None:
        answers = known.get(prompt_cluster(prompt))
        return None if not answers else _normalised(answer) in answers

    return agrees


def resampled_pairs(
    downs: Sequence[PreferenceExample], samples: Mapping[str, str], verify: Verify
) -> list[PreferenceExample]:
    """A pair for each bad answer that fails where a fresh answer of the champion passes; `samples` go by example id."""
    pairs = []
    for down in downs:
        sample, bad = samples.get(down.id), down.rejected
        if sample is None or bad is None or down.kind != "labelled":
            continue
        if bad.tool_calls:  # verifiers read texts
            continue
        if verify(down.prompt, sample) is True and verify(down.prompt, bad.content) is False:
            chosen = Turn(role="assistant", content=sample, trained=True)
            pairs.append(down.model_copy(update={"kind": "pair", "source": "resample", "chosen": chosen}))
    return pairs


def _last_request(prompt: Sequence[Turn]) -> str:
    return next((turn.content for turn in reversed(prompt) if turn.role == "user"), "")


def _asks_for_json(text: str) -> bool:
    return _JSON_FOLLOWS.search(text) is not None or languages.any_matches(text, lambda one: one.asks_for_json)


def _asks_for_python(text: str) -> bool:
    return languages.any_matches(text, lambda one: one.asks_for_python)


def _value(expression: str) -> Fraction | None:
    """The value of + - * / over numbers; None for anything else, or a division by zero."""
    if len(expression) > _LONGEST_EXPRESSION:
        return None
    plain = expression.translate(str.maketrans("×x÷−", "**/-"))
    try:
        return _evaluate(ast.parse(plain, mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError):
        return None


def _evaluate(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as number):
            return Fraction(str(number))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            value: Fraction = _OPERATORS[type(op)](_evaluate(left), _evaluate(right))
            return value
    raise ValueError("not an arithmetic expression")


def _number(text: str) -> Fraction | None:
    try:
        return Fraction(re.sub(r",(?=\d{3}\b)|\s", "", text))
    except (ValueError, ZeroDivisionError):
        return None


def _code(answer: str) -> str:
    fenced = _FENCE.findall(answer)
    return str(fenced[0] if fenced else answer).strip()[:_LONGEST_ANSWER]


def _normalised(text: str) -> str:
    return " ".join(re.findall(r"\w+", fold(text, "NFKC_casefold")))
