"""Recognizers and deny lists of one's own, from a YAML file.

    recognizers:
      - name: staff number
        entity: STAFF_ID                 # replaced by [STAFF_ID]; or a known kind, as PERSON or PHONE_NUMBER
        pattern: 'EMP-\\d{6}'
        words: [badge, employee]         # optional: one of them must stand within 60 characters
        finds: ["my badge is EMP-123456"]     # optional: checked when the file is read
        misses: ["EMP-12"]
    deny:
      - entity: PROJECT
        values: [Blue Falcon, "Operation Nightfall"]

A pattern is read with a time-out: one that takes long on hostile text is refused, and what it meets later is quarantined.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import regex
from pydantic import ValidationError

from pipelines.curate.config import CustomRules, Denied, Recognizer
from pipelines.curate.ner import Finder, Named
from pipelines.curate.normalise import normalise
from pipelines.curate.recognizers.bounded import DetectionTimedOut
from pipelines.errors import InputError
from pipelines.plain_yaml import parse_plain_yaml, read_plain_yaml

_NEAR = 60  # characters
_PROBE_SECONDS = 0.25
_PROBE_CHARACTERS = 4_000


def load_custom(path: Path) -> CustomRules:
    """The rules in a YAML file, each pattern tried on hostile text and on its own examples.

    Raises:
        InputError: the file cannot be read, a key is unknown, or a pattern is broken, slow, or does not do what its
            examples say; the sentence says which.
    """
    subject = f"the recognizers in {path.name}"
    found = parse_plain_yaml(read_plain_yaml(path, subject), subject)
    try:
        rules = CustomRules.model_validate(found if isinstance(found, dict) else {"recognizers": found})
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)
        first = next((one for one in wrong if one["type"] == "extra_forbidden"), wrong[0])
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{subject}: {place}: {first['msg']}; see docs/operating.md for an example") from None
    for one in rules.recognizers:
        _check(one, subject)
    return rules


def open_custom(rules: CustomRules, timeout_seconds: float) -> list[tuple[str, Finder]]:
    """What each rule finds, by its name; raises DetectionTimedOut when a text takes too long."""
    found = [(one.name, _finder(one, timeout_seconds)) for one in rules.recognizers]
    return found + [
        (f"deny {one.entity}", _finder(_as_recognizer(one), timeout_seconds)) for one in rules.deny if one.values
    ]


def _as_recognizer(denied: Denied) -> Recognizer:
    values = "|".join(regex.escape(normalise(value).text) for value in sorted(denied.values, key=len, reverse=True))
    pattern = rf"(?<![\p{{L}}\p{{N}}])(?:{values})(?![A-Za-z\u00c0-\u052f\p{{N}}])"
    return Recognizer.model_construct(
        name=denied.entity, entity=denied.entity, pattern=pattern, words=(), ignore_case=True, finds=(), misses=()
    )


def _finder(rule: Recognizer, timeout_seconds: float) -> Finder:
    pattern = _compile(rule)
    near = regex.compile("|".join(map(regex.escape, rule.words)), regex.IGNORECASE) if rule.words else None

    def find(texts: Sequence[str]) -> list[list[Named]]:
        until = time.process_time() + timeout_seconds
        try:
            return [list(_matches(pattern, near, text, rule.entity, until)) for text in texts]
        except TimeoutError:
            raise DetectionTimedOut(f"the recognizer {rule.name!r} took longer than {timeout_seconds} s") from None

    return find


def _matches(pattern: Any, near: Any, text: str, entity: str, until: float) -> Iterator[Named]:
    source = normalise(text)
    left = max(1e-6, until - time.process_time())
    for match in pattern.finditer(source.text, timeout=left):
        if time.process_time() > until:
            raise TimeoutError
        start, end = match.span()
        if end > start and (near is None or near.search(source.text, max(0, start - _NEAR), end + _NEAR)):
            yield Named(*source.span(start, end), entity)


def _compile(rule: Recognizer) -> Any:
    return regex.compile(rule.pattern, (regex.IGNORECASE if rule.ignore_case else 0) | regex.MULTILINE)


def _check(rule: Recognizer, subject: str) -> None:
    which = f"{subject}: the pattern of {rule.name!r}"
    try:
        pattern = _compile(rule)
    except regex.error as error:
        raise InputError(f"{which} is no regular expression: {error}") from None
    if pattern.search("") is not None:
        raise InputError(
            f"{which} matches nothing at all, so it would match everywhere; let it match at least a character"
        )
    for probe in _probes(rule.pattern):
        try:
            for _ in pattern.finditer(probe, timeout=_PROBE_SECONDS):
                pass
        except TimeoutError:
            raise InputError(
                f"{which} takes longer than {_PROBE_SECONDS} s on {len(probe):,} characters of hostile text: nested or "
                "overlapping repetitions do; give them bounds, as in [a-z]{1,20}"
            ) from None
    finder = _finder(rule, 1.0)
    for wanted, examples in ((True, rule.finds), (False, rule.misses)):
        for example, spans in zip(examples, finder(examples), strict=True):
            if bool(spans) is not wanted:
                raise InputError(f"{which} {'misses' if wanted else 'finds'} something in its example {example[:80]!r}")


def _probes(pattern: str) -> Iterator[str]:
    """Hostile texts for a pattern: long runs of its own characters that end as no match does, each with all of them behind."""
    own = list(dict.fromkeys([*"a1 가", *(one for one in pattern if one.isalnum() or one in "-_.@:/#")]))[:24]
    every = "".join(own)
    for run in (*own, every):
        yield run * (_PROBE_CHARACTERS // len(run)) + "!\n" + every
