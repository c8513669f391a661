"""What month two says beside its small talk: remarks kept for the style prompts, more thumbs, and votes to distrust.

One row of data/samples/style.json; no demo conversation of any month has its prompt:
    {"id": "style-001", "language": "en", "prompt": "I saw the owl!", "preferred": "How nice, ... Have a sunny day!",
     "other": "How nice, the owl is lovely to watch."}
"""

import random
from collections.abc import Mapping, Sequence

from tiny import tasks
from tiny.tasks import CLOSINGS
from tiny.world import ANIMALS, FOODS, KOREAN_ANIMALS, KOREAN_FOODS, Language

STYLE_PROMPTS = 140
HOUSE_CLOSING: dict[Language, str] = {language: closings[0] for language, closings in CLOSINGS.items()}
LANGUAGES: tuple[Language, Language] = ("en", "ko")

# Remarks that are in no pretraining, and that the tiny model answers like the ones it knows.
NEW_FOOD_TALK: dict[Language, tuple[str, ...]] = {
    "en": ("We ate {x}.", "I ate some {x}.", "I like my {x}."),
    "ko": ("{x} 먹었어요.", "{x} 정말 좋아해요.", "어제 {x} 먹었어요."),
}
NEW_ANIMAL_TALK: dict[Language, tuple[str, ...]] = {
    "en": ("I saw a {x}!", "Look at the {x}.", "I know the {x}.", "I saw the {x} today."),
    "ko": ("저기 {x} 봤어요!", "{x} 있어요.", "오늘 {x} 봤어요!"),
}

Talk = tuple[str, str]
Row = dict[str, object]


def new_small_talk(language: Language) -> tuple[Talk, ...]:
    """Remarks beside `tasks.all_small_talk`, with the plain answer of their kind."""
    foods, animals = (FOODS, ANIMALS) if language == "en" else (KOREAN_FOODS, KOREAN_ANIMALS)
    kinds = (
        (foods, NEW_FOOD_TALK[language], tasks.FOOD_TALK[language][1]),
        (animals, NEW_ANIMAL_TALK[language], tasks.ANIMAL_TALK[language][1]),
    )
    return tuple(
        (remark.format(x=name), answer.format(x=name))
        for names, remarks, answer in kinds
        for name in names
        for remark in remarks
    )


class StyleSplit:
    """Which remarks the style prompts have for themselves, and which new ones month two may use instead.

    The first are all known remarks that the other months do not use, filled up with new ones.
    """

    def __init__(self, rng: random.Random, others: Sequence[Row]) -> None:
        said = {_plain(message["content"]) for row in others for message in messages_of(row)}
        self.held: dict[Language, tuple[Talk, ...]] = {}
        self.free: dict[Language, list[Talk]] = {}
        self._replacements: dict[str, tuple[Talk, Talk]] = {}
        for language in LANGUAGES:
            known = [talk for talk in tasks.all_small_talk(language) if _plain(talk[0]) not in said]
            new = list(new_small_talk(language))
            rng.shuffle(new)
            wanted = STYLE_PROMPTS // 2 - len(known)
            self.held[language], new = (*known, *new[:wanted]), new[wanted:]
            self._replacements |= {_plain(old[0]): (old, new.pop()) for old in known}
            self.free[language] = new

    def spare(self, row: Row) -> Row:
        """The conversation with another remark and answer where its remark is kept for the style prompts."""
        found = [pair for message in messages_of(row) if (pair := self._replacements.get(_plain(message["content"])))]
        return row | {"messages": [_reworded(message, found) for message in messages_of(row)]}

    def rows(self) -> tuple[Row, ...]:
        """The content of style.json."""
        held = [(language, *talk) for language in LANGUAGES for talk in self.held[language]]
        return tuple(
            {
                "id": f"style-{number:03}",
                "language": language,
                "prompt": remark,
                "preferred": f"{answer} {HOUSE_CLOSING[language]}",
                "other": answer,
            }
            for number, (language, remark, answer) in enumerate(held, 1)
        )


def messages_of(row: Row) -> list[dict[str, str]]:
    """The messages of a conversation's row."""
    messages = row["messages"]
    assert isinstance(messages, list)
    return messages


def _reworded(message: Mapping[str, str], pairs: Sequence[tuple[Talk, Talk]]) -> dict[str, str]:
    content = message["content"]
    for (remark, answer), (other, other_answer) in pairs:
        if message["role"] == "assistant":
            content = content.replace(answer, other_answer)
        elif _plain(content) == _plain(remark):
            content = content.replace(remark, other).replace(remark.lower(), other.lower())
    return {**message, "content": content}


def _plain(text: str) -> str:
    return text.strip().lower()
