"""Puts surrogates, or typed placeholders, in the place of findings; and finds a known value wherever it is repeated.

A name given once with a cue ("my name is Sarah Connor") and later without one ("sarah", "CONNOR") is one person; a
password shown twice is one secret. So all messages of a conversation are searched for what any of them revealed.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipelines.curate.detect import Span, merge
from pipelines.curate.gazetteer import gazetteer
from pipelines.curate.latin_names import NOT_NAMES
from pipelines.curate.normalise import normalise
from pipelines.curate.surrogate import Surrogates, canonical, split_hangul

_DIGIT_RUN = re.compile(r"(?<!\d)\d(?:[ ().\-/]{0,2}\d){5,18}(?!\d)", re.ASCII)
_PARTICLE = r"(?=(?:이가|이는|이를|이도|이의|이한테|이에게|이랑|이와|이|가|은|는|을|를|의|와|과|랑|도|야|아|씨|님|한테|에게|께서|께)?(?![가-힣]))"
_SEARCHED = (
    "EMAIL_ADDRESS",
    "URL",
    "SECRET",
    "ADDRESS",
    "IP_ADDRESS",
    "MAC_ADDRESS",
    "IBAN_CODE",
    "NATIONAL_ID",
    "KR_PASSPORT",
    "VEHICLE_PLATE",
    "USERNAME",
    "BIRTH_DATE",
    "COORDINATES",
)


def replace(text: str, spans: Sequence[Span], surrogates: Surrogates) -> tuple[str, tuple[str, ...]]:
    """The text with each finding replaced by its surrogate, and the surrogates; spans in text order, not overlapping."""
    words = tuple(surrogates.of(span.entity, span.value) for span in spans)
    return _spliced(text, spans, words), words


def places_of(words: Sequence[str], clean: str) -> tuple[tuple[int, int], ...]:
    """Where these surrogates stand in a clean text; they are in text order.

    Raises:
        ValueError: one of them is not there, so what must get no loss is not known.
    """
    places, done = [], 0
    for word in words:
        word = unicodedata.normalize("NFC", word)
        start = clean.index(word, done)
        done = start + len(word)
        places.append((start, done))
    return tuple(places)


def with_placeholders(text: str, spans: Sequence[Span]) -> str:
    """The text with `<ENTITY>` for each finding: what near-duplicates are compared on."""
    return _spliced(text, spans, (f"<{span.entity}>" for span in spans))


def with_repeats(texts: Mapping[str, str], found: Mapping[str, Sequence[Span]]) -> dict[str, list[Span]]:
    """The findings of every text, and every further place where one of their values stands."""
    known = [span for spans in found.values() for span in spans]
    if not known:
        return {name: [] for name in texts}
    numbers = {canonical(s.entity, s.value): s.entity for s in known if sum(c.isdigit() for c in s.value) >= 6}
    searches = [search for search in (_values(known), *_people(known)) if search]
    return {name: merge([*found[name], *_repeats(text, numbers, searches)], text) for name, text in texts.items()}


def _spliced(text: str, spans: Sequence[Span], replacements: Iterable[str]) -> str:
    pieces, done = [], 0
    for span, replacement in zip(spans, replacements, strict=True):
        pieces += [text[done : span.start], replacement]
        done = span.end
    return "".join([*pieces, text[done:]])


def _repeats(
    text: str, numbers: Mapping[str, str], searches: Sequence[tuple[re.Pattern[str], str | None, Mapping[str, str]]]
) -> Iterator[Span]:
    source = normalise(text)
    if numbers:
        for match in _DIGIT_RUN.finditer(source.text):
            entity = numbers.get(canonical("PHONE_NUMBER", match[0])) or numbers.get(canonical("NATIONAL_ID", match[0]))
            if entity:
                yield Span(*source.span(*match.span()), entity, match[0])
    for pattern, entity, entities in searches:
        for match in pattern.finditer(source.text):
            yield Span(*source.span(*match.span()), entity or entities[match[0].casefold()], match[0])


def _values(known: Sequence[Span]) -> tuple[re.Pattern[str], str | None, Mapping[str, str]] | None:
    entities = {s.value.casefold(): s.entity for s in known if s.entity in _SEARCHED and len(s.value) >= 6}
    if not entities:
        return None
    values = _alternatives(entities)
    return re.compile(rf"(?<![A-Za-z0-9])(?:{values})(?![A-Za-z0-9])", re.I | re.ASCII), None, entities


def _people(known: Sequence[Span]) -> Iterator[tuple[re.Pattern[str], str, Mapping[str, str]]]:
    """Full names in any case; parts of them only where they look like names."""
    names = {s.value for s in known if s.entity == "PERSON"}
    latin = {name for name in names if re.match("[A-Za-zÀ-ɏ]", name)}
    hangul = {name for name in names if re.match("[가-힣]", name)}
    whole = {_lowered(name) for name in latin if len(name) > 2 and (" " in name or _is_only_a_name(name))}
    parts = {part for name in latin for part in name.split(" ") if len(part) > 2 and part.casefold() not in NOT_NAMES}
    if whole:
        yield re.compile(rf"(?<![A-Za-z0-9@])(?:{_alternatives(whole)})(?![A-Za-z0-9@])", re.I), "PERSON", {}
    if parts:
        shown = {shape for part in parts for shape in (part.title() if part.islower() else part, part.upper())}
        yield re.compile(rf"(?<![A-Za-z0-9@])(?:{_alternatives(shown)})(?![A-Za-z0-9@])"), "PERSON", {}
    if hangul:
        given = {split_hangul(name)[1] for name in hangul} - gazetteer().hangul_given_also_words
        full = {name for name in hangul if len(name) > 2}
        alternatives = [rf"(?:{_alternatives(full)})"] if full else []
        alternatives += (
            [rf"(?:{_alternatives({name for name in given | hangul if len(name) == 2})}){_PARTICLE}"] if given else []
        )
        yield re.compile(rf"(?<![가-힣])(?:{'|'.join(alternatives)})"), "PERSON", {}


def _is_only_a_name(name: str) -> bool:
    return name.casefold() in gazetteer().given


def _lowered(name: str) -> str:
    """The name as a pattern that ignores case reads it: a letter for each letter."""
    return "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in name)


def _alternatives(names: Iterable[str]) -> str:
    """A pattern of all these names, the longest that fits first: as a tree of their letters, so that a place in the text is
    compared with the names that begin as it does, and not with every one."""
    tree: _Tree = {}
    for name in names:
        branch = tree
        for letter in name:
            branch = branch.setdefault(letter, {})
        branch[""] = {}
    return _pattern_of(tree) if tree else "(?!)"


_Tree = dict[str, Any]  # the next letter, and what may follow it; "" where a name may end


def _pattern_of(tree: _Tree) -> str:
    """Recursion as deep as a name is long, which recognizers bound; runs without a choice are taken in one step."""
    branches = []
    for letter in sorted(tree.keys() - {""}):
        run, below = letter, tree[letter]
        while len(below) == 1 and "" not in below:
            [(following, below)] = below.items()
            run += following
        branches.append(re.escape(run) + (_pattern_of(below) if below.keys() - {""} else ""))
    inner = branches[0] if len(branches) == 1 and "" not in tree else f"(?:{'|'.join(branches)})"
    return f"{inner}?" if "" in tree else inner


def residue(clean: str, values: Sequence[Span], again: Sequence[Span]) -> set[str]:
    """Entity types of structured original values that a clean text still holds, itself or by a second detection.

    `values` are better given once each, however often they stood in the text: each is looked for.
    """
    originals = {canonical(span.entity, span.value): span.entity for span in values if span.entity != "PERSON"}
    folded = normalise(clean).text.casefold()
    searched = {(s.entity, s.value.casefold()) for s in values if s.entity in _SEARCHED and len(s.value) >= 6}
    left = {entity for entity, value in searched if value in folded}
    return left | {span.entity for span in again if originals.get(canonical(span.entity, span.value)) == span.entity}
