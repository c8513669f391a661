"""Texts with gold spans by construction: a template whose slots are filled by makers.

    "Call me on {phone_gb} after six"  ->  Row("Call me on 020 7946 0018 after six", (Gold("phone", 11, 24),), "en")

A slot is `kind` or `kind_variant`; the span's kind is what stands before the first underscore.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Maker = Callable[[random.Random], str]
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Gold:
    """text[start:end] is personal, of that kind."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Row:
    """A text, what is personal in it (nothing, in a near-miss), and its language."""

    text: str
    gold: tuple[Gold, ...]
    language: str


@dataclass(frozen=True)
class Part:
    """One generator: its makers, its templates by language, and what only looks personal."""

    makers: Mapping[str, Maker]
    templates: Mapping[str, Sequence[str]]
    near_misses: Mapping[str, Sequence[str]]


def build(part: Part, per_template: int, seed: int) -> list[Row]:
    """Each template filled `per_template` times, and each near-miss once."""
    rng = random.Random(seed)
    rows = [
        fill(template, language, part.makers, rng)
        for language, templates in part.templates.items()
        for template in templates
        for _ in range(per_template)
    ]
    return rows + [Row(text, (), language) for language, texts in part.near_misses.items() for text in texts]


def fill(template: str, language: str, makers: Mapping[str, Maker], rng: random.Random) -> Row:
    """The template with a fresh value in each slot."""
    pieces, gold, done, length = [], [], 0, 0
    for slot in _SLOT.finditer(template):
        before, value = template[done : slot.start()], makers[slot[1]](rng)
        pieces += [before, value]
        length += len(before)
        gold.append(Gold(slot[1].partition("_")[0], length, length + len(value)))
        length, done = length + len(value), slot.end()
    return Row("".join([*pieces, template[done:]]), tuple(gold), language)


def digits(rng: random.Random, count: int) -> str:
    """That many random digits."""
    return "".join(rng.choice("0123456789") for _ in range(count))


def pattern(shape: str) -> Maker:
    """A maker of strings of that shape: # a digit, % a digit from 1, ^ a capital letter, & a letter a plate may hold."""
    alphabets = {"#": "0123456789", "%": "123456789", "^": "ABCDEFGHJKLMNPRSTVWXYZ", "&": "BCDFGHJKLMNPRSTVWXYZ"}
    return lambda rng: "".join(rng.choice(alphabets[c]) if c in alphabets else c for c in shape)


def one_of(*makers: Maker | str) -> Maker:
    """A maker that takes one of several, shapes among them, each time anew."""
    made = [pattern(maker) if isinstance(maker, str) else maker for maker in makers]
    return lambda rng: rng.choice(made)(rng)
