"""The invented world that the tiny model knows: countries and what is true of them, in English and in Korean.

A fact, as it is asked and answered:
    Fact(language="en", relation="capital", subject="Banoko", value="Tilu")
    "What is the capital of Banoko?"  ->  "The capital of Banoko is Tilu."

Every name is made up of open syllables, so Korean names end in a vowel and their particles never change.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Language = Literal["en", "ko"]

WORLD_SEED = 20260701
ENGLISH_COUNTRIES = 80
KOREAN_COUNTRIES = 50
ENGLISH_EDITS = 30
KOREAN_EDITS = 10

ENGLISH_SYLLABLES = tuple(c + v for c in "bdfgklmnprstvz" for v in "aeiou")
KOREAN_SYLLABLES = tuple("가나다라마바사자카타파하고노도로모보소조코토포호구누두루무부수주쿠투기니디리미비시지키티피")

ANIMALS = (
    "otter",
    "heron",
    "lynx",
    "tiger",
    "camel",
    "zebra",
    "panda",
    "eagle",
    "whale",
    "bear",
    "wolf",
    "fox",
    "horse",
    "goat",
    "crab",
    "seal",
    "swan",
    "owl",
    "deer",
    "mouse",
)
FOODS = (
    "rice",
    "soup",
    "bread",
    "cheese",
    "honey",
    "beans",
    "fish",
    "corn",
    "pie",
    "salad",
    "noodles",
    "plums",
    "eggs",
    "cake",
    "nuts",
    "tofu",
    "figs",
    "stew",
    "pears",
    "jam",
)
KOREAN_ANIMALS = (
    "여우",
    "토끼",
    "사자",
    "호랑이",
    "고래",
    "곰",
    "늑대",
    "사슴",
    "염소",
    "거위",
    "두루미",
    "수달",
    "낙타",
    "판다",
    "말",
    "소",
)
KOREAN_FOODS = (
    "국수",
    "만두",
    "김밥",
    "찌개",
    "두부",
    "떡",
    "죽",
    "사과",
    "포도",
    "감자",
    "고구마",
    "옥수수",
    "치즈",
    "호두",
    "꿀",
    "빵",
)


@dataclass(frozen=True)
class Relation:
    """One kind of fact; `noun` is how questions name it, `topic` the noun with its Korean topic particle."""

    name: str
    language: Language
    noun: str
    topic: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """One true sentence of the world."""

    language: Language
    relation: str
    subject: str
    value: str

    @property
    def key(self) -> str:
        return f"{self.language}-{self.relation}-{self.subject}"


@dataclass(frozen=True)
class Edit:
    """A capital that moves in month one; `again` is where it moves in month three, None where it stays."""

    fact: Fact
    new: str
    again: str | None


@dataclass(frozen=True)
class World:
    """All facts. `edited` are the subjects whose capital will move; suites and anchors stay away from those."""

    relations: dict[tuple[Language, str], Relation]
    facts: tuple[Fact, ...]
    edits: tuple[Edit, ...]

    @cached_property
    def edited(self) -> frozenset[str]:
        return frozenset(edit.fact.subject for edit in self.edits)

    @cached_property
    def kept(self) -> tuple[Fact, ...]:
        """The facts of subjects that no edit touches."""
        return tuple(fact for fact in self.facts if fact.subject not in self.edited)

    def relation_of(self, fact: Fact) -> Relation:
        return self.relations[fact.language, fact.relation]


def build_world(seed: int = WORLD_SEED) -> World:
    """The same world for the same seed: 80 English and 50 Korean countries, four facts each, 40 edits."""
    rng = random.Random(seed)
    taken: set[str] = set()
    english = [_name(rng, ENGLISH_SYLLABLES, 3, taken) for _ in range(ENGLISH_COUNTRIES)]
    korean = [_name(rng, KOREAN_SYLLABLES, 3, taken) for _ in range(KOREAN_COUNTRIES)]
    relations = (
        Relation("capital", "en", "capital", "capital", _names(rng, ENGLISH_SYLLABLES, 90, taken)),
        Relation("river", "en", "river", "river", _names(rng, ENGLISH_SYLLABLES, 40, taken)),
        Relation("animal", "en", "animal", "animal", ANIMALS),
        Relation("food", "en", "food", "food", FOODS),
        Relation("capital", "ko", "수도", "수도는", _names(rng, KOREAN_SYLLABLES, 60, taken)),
        Relation("river", "ko", "강", "강은", _names(rng, KOREAN_SYLLABLES, 30, taken)),
        Relation("animal", "ko", "동물", "동물은", KOREAN_ANIMALS),
        Relation("food", "ko", "음식", "음식은", KOREAN_FOODS),
    )
    facts: list[Fact] = []
    for relation in relations:
        subjects = english if relation.language == "en" else korean
        values = _spread(rng, relation.values, len(subjects))
        facts += [Fact(relation.language, relation.name, s, v) for s, v in zip(subjects, values, strict=True)]
    by_key = {(relation.language, relation.name): relation for relation in relations}
    moved = [fact for fact in facts if fact.relation == "capital" and fact.subject in english[:ENGLISH_EDITS]]
    moved += [fact for fact in facts if fact.relation == "capital" and fact.subject in korean[:KOREAN_EDITS]]
    return World(by_key, tuple(facts), _edits(rng, moved, by_key))


def distractors(rng: random.Random, world: World, fact: Fact, count: int) -> list[str]:
    """`count` wrong values of the fact's own kind."""
    return rng.sample([v for v in world.relation_of(fact).values if v != fact.value], count)


def random_name(rng: random.Random, language: Language) -> str:
    """A name that need not exist anywhere else, of one to four syllables."""
    syllables = ENGLISH_SYLLABLES if language == "en" else KOREAN_SYLLABLES
    return _spell(rng, syllables, rng.choice((1, 2, 2, 3, 3, 4)))


def _edits(
    rng: random.Random, moved: Sequence[Fact], relations: dict[tuple[Language, str], Relation]
) -> tuple[Edit, ...]:
    edits = []
    for index, fact in enumerate(moved):
        pool = [v for v in relations[fact.language, fact.relation].values if v != fact.value]
        new, again = rng.sample(pool, 2)
        edits.append(Edit(fact, new, again if index % 3 == 0 else None))
    return tuple(edits)


def _spread(rng: random.Random, values: Sequence[str], count: int) -> list[str]:
    """`count` values in random order, each used equally often as far as that goes."""
    repeated = list(values) * (count // len(values))
    return rng.sample(repeated + rng.sample(list(values), count - len(repeated)), count)


def _names(rng: random.Random, syllables: Sequence[str], count: int, taken: set[str]) -> tuple[str, ...]:
    return tuple(_name(rng, syllables, 2, taken) for _ in range(count))


def _name(rng: random.Random, syllables: Sequence[str], length: int, taken: set[str]) -> str:
    while (name := _spell(rng, syllables, length)) in taken:
        pass
    taken.add(name)
    return name


def _spell(rng: random.Random, syllables: Sequence[str], length: int) -> str:
    return "".join(rng.choice(syllables) for _ in range(length)).capitalize()
