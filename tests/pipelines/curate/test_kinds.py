"""Whether what is taken for a person is one: works, bands, places, products and measures are not."""

import re

import pytest

from pipelines.curate.config import CurationConfig
from pipelines.curate.curate import Curator
from pipelines.records import CleanConversation
from tests.pipelines.curate.chats import CONFIG, KEY, SECRET, Chat
from tests.pipelines.curate.entity_questions import TALKS

GOAL = 0.97
_PERSON = re.compile(r"\{([^}]+)\}")


@pytest.fixture(scope="module")
def credulous(tmp_path_factory: pytest.TempPathFactory) -> Curator:
    """A curator whose model takes every two capitalised words, and a few single ones, for a person."""
    spacy = pytest.importorskip("spacy")
    model = spacy.blank("en")
    name = {
        "IS_TITLE": True,
        "IS_STOP": False,
        "LOWER": {
            "NOT_IN": [
                "who",
                "what",
                "the",
                "is",
                "my",
                "watch",
                "der",
                "film",
                "did",
                "when",
                "thanks",
                "best",
                "tell",
            ]
        },
    }
    singles = ["Emma", "Jolene", "Jenkins", "Smiths", "Kelvin", "max", "Amelie", "Rainier", "Tesla"]
    model.add_pipe("entity_ruler").add_patterns(
        [{"label": "PERSON", "pattern": [name, name]}, *({"label": "PERSON", "pattern": one} for one in singles)]
    )
    folder = tmp_path_factory.mktemp("credulous") / "spacy"
    model.to_disk(folder)
    return Curator(CurationConfig(**{**CONFIG.model_dump(), "ner_model": str(folder)}))


def measured(curator: Curator, chat: Chat) -> tuple[list[str], list[str], int]:
    """Words taken for people that are none, and people that were missed; and how many were found."""
    wrong, missed, right = [], [], 0
    for talk in TALKS:
        plain = [_PERSON.sub(r"\1", text) for text in talk]
        clean = curator.curate(chat(*plain), SECRET, KEY)
        assert isinstance(clean, CleanConversation), talk
        for text, before, message in zip(talk, plain, clean.messages, strict=True):
            people = _PERSON.findall(text)
            left = [name for name in people if name in message.text]
            missed += left
            rest = re.split("|".join(map(re.escape, people)) if people else "$^", before)
            kept = sum(piece.strip() in message.text for piece in rest)
            wrong += [text] if kept < len(rest) else []
            right += len(people) - len(left)
    return wrong, missed, right


def test_without_a_model_what_is_taken_for_a_person_is_one(curator: Curator, chat: Chat) -> None:
    wrong, missed, right = measured(curator, chat)
    assert right / (right + len(wrong)) >= GOAL, wrong
    assert len(missed) <= 8, missed


def test_with_a_model_that_believes_in_capitals_too(credulous: Curator, chat: Chat) -> None:
    wrong, missed, right = measured(credulous, chat)
    assert right / (right + len(wrong)) >= GOAL, wrong
    assert len(missed) <= 3, missed
