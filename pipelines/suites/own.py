"""A person's own checks as a suite, from a file of lines:

{"prompt": "Which port does the shop listen on?", "answer": "8443"}                       the answer word for word
{"prompt": "Which colour has the logo?", "choices": ["red", "blue"], "answer": "blue"}    the letter of an option
{"prompt": "Write add(a, b).", "answer": "def add(a, b): return a + b", "tests": "assert add(1, 2) == 3"}    code
{"text": "The tide comes in twice a day, and whoever walks out to ..."}                   how likely a text is found
Beside these a line may have id, subject (items are chosen evenly over subjects), cluster (what is not independent) and
part (dev or gate); without part a tenth of the items, chosen by a hash, is dev.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from pipelines.artifacts import digest_of
from pipelines.errors import DataError, InputError
from pipelines.suites.load import SCORER_METRICS, Item, Scorer, choose_of
from pipelines.suites.scorers.letter import LETTERS
from pipelines.suites.write import SuiteText

OWN_SCORERS = tuple(name for name in get_args(Scorer) if name not in ("golden", "instructions"))
DEV_SHARE = 0.1
_FIRST_WORDS = 12  # of a text, which a model reads before it is scored
_GREEDY = {"do_sample": False, "temperature": 0.0}
# Case, spaces around and a full stop at the end decide nothing.
_READS_ALIKE = {"ignore_case": True, "regexes_to_ignore": [r"^\s+|\s+$", r"[.。!]+$"]}


def read_own(name: str, path: Path, scorer: str | None = None) -> SuiteText:
    """The suite that a file of checks makes; the same lines always make the same one.

    Args:
        scorer: how they are scored; None takes what the first line says by its keys.

    Raises:
        DataError: a line is no check; the sentence names it.
        InputError: there is no such scorer for checks of one's own.
    """
    rows = [_check(row, place) for place, row in read_rows(path)]
    if len(rows) < 2:
        raise DataError(f"{path} holds {len(rows)} checks; a suite needs at least one to choose by and one to gate on")
    chosen = scorer or _scorer_of(rows[0][1])
    if chosen not in OWN_SCORERS:
        raise InputError(f"no scorer is called {chosen[:40]!r}; known are {', '.join(OWN_SCORERS)}")
    items = [_item(name, row, cast(Scorer, chosen), place) for place, row in rows]
    return own_suite(name, cast(Scorer, chosen), items, {"source": "checks of its own", "licence": "its owner's"})


def own_suite(
    name: str, scorer: Scorer, items: Sequence[Item], about: Mapping[str, Any], max_tokens: int = 512
) -> SuiteText:
    """The suite of these items, divided where they do not say it themselves."""
    unplaced = tuple(item for item in items if item.fields.get("part") not in ("dev", "gate"))
    by_hash = {item.id for item in choose_of(unplaced, max(1, round(DEV_SHARE * len(unplaced))))} if unplaced else set()
    dev = [item for item in items if item.fields.get("part") == "dev" or item.id in by_hash]
    taken = {item.id for item in dev}
    gate = [item for item in items if item.id not in taken]
    metric = SCORER_METRICS[scorer][0]
    version = f"1.{digest_of([dict(item.fields) for item in items])[:8]}"
    task: dict[str, Any] = {"scorer": scorer, "metric": metric}
    task["metadata"] = {"version": version, "scorer": scorer, **about}
    if scorer not in ("letter", "likelihood", "perplexity"):
        task["generation_kwargs"] = {"until": [], "max_gen_toks": max_tokens, **_GREEDY}
    if scorer == "exact":
        task["metric_list"] = [{"metric": metric, "aggregation": "mean", "higher_is_better": True, **_READS_ALIKE}]
    return SuiteText(name, task, dev, gate, {})


def read_rows(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """The objects of a JSONL file, each with its place for sentences. Raises DataError."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason}") from error
    return [_row(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def _row(line: str, place: str) -> tuple[str, Mapping[str, Any]]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{place} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"{place} is no JSON object")
    return place, row


def _check(row: Mapping[str, Any], place: str) -> tuple[str, Mapping[str, Any]]:
    if "text" in row and "prompt" not in row:
        row = {**row, **_halves(str(row["text"]), place)}
    if not isinstance(row.get("prompt"), str) or not row["prompt"].strip():
        raise DataError(f'{place} is no check: write e.g. {{"prompt": "What is 2 + 2?", "answer": "4"}}')
    return place, row


def _halves(text: str, place: str) -> dict[str, str]:
    """A text as a prompt of its first words, and the rest, which is what is scored."""
    words = text.split(" ")
    first = min(_FIRST_WORDS, len(words) // 2)
    if first == 0:
        raise DataError(f"{place}: its `text` is one word; a perplexity needs a text to read")
    return {"prompt": " ".join(words[:first]), "answer": " ".join(words[first:])}


def _scorer_of(row: Mapping[str, Any]) -> str:
    return "letter" if "choices" in row else "python" if "tests" in row else "perplexity" if "text" in row else "exact"


def _item(name: str, row: Mapping[str, Any], scorer: Scorer, place: str) -> Item:
    fields = {key: value for key, value in row.items() if key not in ("subject", "text")}
    fields |= (
        _choice(row, scorer, place) if scorer in ("letter", "likelihood") else {"answer": str(row.get("answer", ""))}
    )
    if not fields["answer"].strip() or (scorer == "python" and not row.get("tests")):
        raise DataError(f"{place} lacks {'`tests` or ' if scorer == 'python' else ''}`answer`")
    fields["stratum"] = str(row.get("subject", row.get("stratum", "")))
    fields["id"] = str(row.get("id") or f"{name}-{digest_of(dict(row))[:12]}")
    return Item(fields["id"], fields["prompt"], fields["answer"], fields["stratum"], fields)


def _choice(row: Mapping[str, Any], scorer: Scorer, place: str) -> dict[str, Any]:
    """The options, and which is right: `answer` is its text, its letter, or its place from 0."""
    choices, answer = [str(choice) for choice in row.get("choices") or ()], row.get("answer")
    if not 2 <= len(choices) <= len(LETTERS):
        raise DataError(f"{place} needs 2 to {len(LETTERS)} `choices`, and has {len(choices)}")
    names = [*choices, *LETTERS[: len(choices)]]
    if isinstance(answer, int) and 0 <= answer < len(choices):
        right = answer
    elif str(answer) in names:
        right = names.index(str(answer)) % len(choices)
    else:
        raise DataError(f"{place}: its `answer` is none of its choices, nor the letter or place of one")
    if scorer == "likelihood":
        return {"choices": choices, "answer": str(right)}
    shown = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False))
    return {"choices": choices, "answer": LETTERS[right], "prompt": f"{row['prompt'].strip()}\n{shown}\nAnswer:"}
