"""Finds structured personal information and secrets in one text: Presidio in a tuned set-up, failing closed.

One pseudo language, no NLP model, and a cheap look for triggers first: a text without six digits, `@` or `://` costs
microseconds. Each text is read as it is, normalised, and with disguises undone; what any reading finds is found.
"""

import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import regex
from presidio_analyzer import AnalyzerEngine, PatternRecognizer, RecognizerRegistry
from presidio_analyzer.nlp_engine import NoOpNlpEngine

from pipelines.curate.config import CurationConfig
from pipelines.curate.deobfuscate import deobfuscate
from pipelines.curate.entities import PRIORITY
from pipelines.curate.normalise import Normalised, normalise
from pipelines.curate.recognizers import (
    address,
    birth,
    coordinates,
    handle,
    korean_ids,
    national_ids,
    network,
    phone,
    western_ids,
    world_ids,
)
from pipelines.curate.recognizers.bounded import CASE_FLAGS, PSEUDO_LANGUAGE, bound
from pipelines.curate.recognizers.card import Card
from pipelines.curate.recognizers.context import WindowContext
from pipelines.curate.recognizers.email import OfflineEmail
from pipelines.curate.recognizers.things import is_a_things
from pipelines.curate.recognizers.url import may_hold_url, url
from pipelines.curate.secrets import CASE_FLAGS as SECRET_FLAGS
from pipelines.curate.secrets import may_hold_secret, secrets

THRESHOLD = 0.4
_MORE_DIGITS = regex.compile(r"(?:[ -]\d{2,6}(?!\d))?", regex.ASCII)
_RANK = {entity: rank for rank, entity in enumerate(PRIORITY)}
# What a text must hold for an entity to be possible at all: so many digits, and a shape. A test holds them against every row.
_Trigger = tuple[int, Callable[[str], object], str]


def _shapes(*rows: tuple[int, str, str]) -> tuple[_Trigger, ...]:
    return tuple((digits, regex.compile(pattern, regex.ASCII).search, entity) for digits, entity, pattern in rows)


_TRIGGERS: tuple[_Trigger, ...] = (
    (0, lambda text: "@" in text, "EMAIL_ADDRESS"),
    (0, may_hold_url, "URL"),
    *_shapes(
        (13, "CREDIT_CARD", r"(?:\d[ .\-_/,:|*~=()\[\]\t\n]{0,3}){13}"),
        (
            7,
            "KR_RRN",
            r"\d{6}[\s\-~_/.,:*|=(]{0,7}\d|[뒤뒷][^\d\n]{0,10}7?[^\d\n]{0,10}\d{7}|\d[-./ ]\d\d\s?[-./ ]\s?\d{7}",
        ),
        (10, "KR_BRN", r"\d{3}-?\d{2}-?\d{5}"),
        (12, "KR_DRIVER_LICENSE", r"\d{2}[- ]?\d{2}[- ]?\d{6}[- ]?\d{2}"),
        (9, "US_SSN", r"\d{3}[- .]?\d{2}[- .]?\d{4}"),
    ),
    (1, phone.may_hold_number, "PHONE_NUMBER"),
    (0, address.may_hold_address, "ADDRESS"),
    (2, coordinates.may_hold, "COORDINATES"),
)
# The same for the text in lower case: much faster than patterns that ignore case.
_LOWER_TRIGGERS: tuple[_Trigger, ...] = (
    *_shapes(
        (7, "KR_PASSPORT", r"[msrod]\d{3}[a-z\d]\d{4}"),
        (4, "IBAN_CODE", r"(?<![a-z])[a-z]{2}\d{2}[ .-]?[a-z0-9]{4}"),
        (1, "IP_ADDRESS", r"\d\.\d{1,3}\.\d{1,3}\.\d|:[0-9a-f]{0,4}:"),
        (0, "MAC_ADDRESS", r"\bmac\b|[0-9a-f]{2}[:-][0-9a-f]{2}[:-]|[0-9a-f]{4}\.[0-9a-f]{4}\."),
    ),
    (2, birth.may_hold_birth, "BIRTH_DATE"),
    (0, handle.may_hold_handle, "USERNAME"),
    (1, national_ids.may_hold_plate, "VEHICLE_PLATE"),
    (0, may_hold_secret, "SECRET"),
)
_DIGIT = re.compile(r"[0-9]")


def _possible(text: str) -> list[str]:
    """The entities that a normalised text may hold."""
    lower, digits = text.lower(), len(_DIGIT.findall(text))
    entities = [entity for least, may_hold, entity in _TRIGGERS if digits >= least and may_hold(text)]
    entities += [entity for least, may_hold, entity in _LOWER_TRIGGERS if digits >= least and may_hold(lower)]
    if digits >= 3 and (world_ids.may_hold_checked_id(text, digits) or national_ids.may_hold_cued(text, lower)):
        entities.append("NATIONAL_ID")
    return entities


@dataclass(frozen=True)
class Span:
    """text[start:end] is an `entity`; `value` is how it reads once normalised and undisguised."""

    start: int
    end: int
    entity: str
    value: str


class Detector:
    """Everything that is found by shape; built once, used from one thread at a time.

    `find` raises DetectionTimedOut when the text cannot be checked in `timeout_seconds` per pattern.
    """

    def __init__(self, config: CurationConfig) -> None:
        self._timeout_seconds = config.timeout_seconds
        self._public_hosts = frozenset(config.public_hosts)
        registry = RecognizerRegistry(supported_languages=[PSEUDO_LANGUAGE])
        for recognizer in _pattern_recognizers(config.timeout_seconds):
            registry.add_recognizer(recognizer)
        for own in (
            phone.WorldPhone(config.phone_regions, config.timeout_seconds),
            phone.InternationalPhone(config.timeout_seconds),
            phone.phone_behind_cue(config.timeout_seconds),
            national_ids.cued_ids(config.timeout_seconds),
            world_ids.WorldIds(config.timeout_seconds),
            address.Address(config.timeout_seconds),
        ):
            registry.add_recognizer(own)
        # Presidio's loggers print matched text on some errors; nothing of a text may reach a log.
        logging.getLogger("presidio-analyzer").disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._engine = AnalyzerEngine(
                registry=registry,
                nlp_engine=NoOpNlpEngine([{"lang_code": PSEUDO_LANGUAGE, "model_name": "no_op"}]),
                supported_languages=[PSEUDO_LANGUAGE],
                default_score_threshold=THRESHOLD,
                context_aware_enhancer=WindowContext(),
            )

    def find(self, text: str) -> list[Span]:
        """Findings in text order without overlaps, in offsets of `text` itself."""
        normal = normalise(text)
        plain = deobfuscate(normal, self._timeout_seconds)
        found = self._read(normal)
        if plain is not normal:
            found += self._read(plain)
        return merge(found, text)

    def _read(self, source: Normalised) -> list[Span]:
        entities = _possible(source.text)
        if not entities:
            return []
        spans = []
        for result in self._engine.analyze(source.text, PSEUDO_LANGUAGE, entities=entities):
            value = source.text[result.start : result.end]
            if result.entity_type == "URL" and self._is_public(value):
                continue
            if result.entity_type == "KR_RRN" and value.isdigit() and is_a_things(source.text, result.start):
                continue  # 8801234567890 behind `상품번호` is the code of a product
            if result.entity_type == "US_SSN":  # `123 45 6789 0123` is longer than one
                more = _MORE_DIGITS.match(source.text, result.end)
                value += more[0] if more else ""
            kept = value.strip().rstrip(".,") or value
            start = result.start + value.find(kept)
            spans.append(Span(*source.span(start, start + len(kept)), result.entity_type, kept))
        return spans

    def _is_public(self, address: str) -> bool:
        host, _, path = address.partition("://")[2].partition("/")
        return host.lower() in self._public_hosts and not any(mark in path for mark in "?@=&")


def merge(found: Iterable[Span], text: str) -> list[Span]:
    """The findings without overlaps: structured ones unite, a name gives way to what it overlaps. Sorting, then one pass."""
    spans = sorted(found, key=lambda s: (s.start, -s.end))
    structured: list[Span] = []
    for span in spans:
        if span.entity == "PERSON":
            continue
        if structured and span.start < structured[-1].end:
            structured[-1] = _united(structured[-1], span)
        else:
            structured.append(span)
    known = [s if s.value else replace(s, value=normalise(text[s.start : s.end]).text) for s in structured]
    names = (span for span in spans if span.entity == "PERSON")
    return sorted([*known, *_free(names, known)], key=lambda s: s.start)


def _free(names: Iterable[Span], taken: Sequence[Span]) -> Iterator[Span]:
    """Those names, in their order, that overlap neither what is taken nor a name before them."""
    position = end = 0
    for name in names:
        while position < len(taken) and taken[position].end <= name.start:
            position += 1
        if name.start >= end and (position == len(taken) or name.end <= taken[position].start):
            end = name.end
            yield name


def _united(first: Span, second: Span) -> Span:
    """Both as one; its value is empty, for the text that it covers, unless one of them covers all of it."""
    start, end = min(first.start, second.start), max(first.end, second.end)
    whole = [s for s in (first, second) if (s.start, s.end) == (start, end)]
    winner = min(whole or (first, second), key=lambda s: _RANK.get(s.entity, 99))
    return Span(start, end, winner.entity, winner.value if whole else "")


def _pattern_recognizers(timeout_seconds: float) -> list[PatternRecognizer]:
    simple: list[PatternRecognizer] = [
        OfflineEmail(),
        url(),
        network.PersonalIp(),
        network.mac(),
        birth.birth_date(),
        handle.Handle(),
        handle.NamedHandle(),
        coordinates.coordinates(),
        korean_ids.rrn(),
        korean_ids.passport(),
        western_ids.bank_account(),
        phone.phone_shapes(),
        phone.odd_phones(),
    ]
    validated = [Card(), korean_ids.BusinessNumber(), korean_ids.DriverLicence(), western_ids.Ssn()]
    return [
        *(bound(recognizer, timeout_seconds) for recognizer in simple),
        *(bound(recognizer, timeout_seconds, overlapped=True) for recognizer in validated),
        bound(western_ids.Iban(), timeout_seconds, CASE_FLAGS, overlapped=True),
        bound(national_ids.plates(), timeout_seconds, CASE_FLAGS),
        bound(secrets(), timeout_seconds, SECRET_FLAGS),
    ]
