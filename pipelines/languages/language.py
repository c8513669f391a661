"""What the pipelines know of one language: its writing, its words, and how it asks, states, denies, agrees and refuses.

Fragments (`str`) are parts of regular expressions that are joined with those of the other languages; patterns stand alone.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

Patterns = tuple[re.Pattern[str], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Naming:
    """How a language speaks of persons and of what may be replaced; fragments, joined with those of the other languages.

    Attributes:
        introduces, introduces_after: what stands before, and behind, the name that speakers give themselves.
        hails: what opens a greeting, before the name of whoever is greeted.
        closes, closes_after: what stands before the name that signs a letter, and behind it.
        concerns, concerns_after: what stands before, and behind, what a question or an order is about.
        informs: orders that ask for facts, at the start of a sentence.
        acts: requests in the form of a question for something to be done, which ask for no fact.
        advises: questions about what the speakers should do themselves.
        asks_who: questions whose answer is a person.
        refers_back: words that stand for a person named before.
        invents: orders whose answer is made up, or a letter: its persons are nobody's.
    """

    introduces: str = ""
    introduces_after: str = ""
    hails: str = ""
    closes: str = ""
    closes_after: str = ""
    concerns: str = ""
    concerns_after: str = ""
    informs: str = ""
    acts: str = ""
    advises: str = ""
    asks_who: str = ""
    refers_back: str = ""
    invents: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Language:
    """One language. What it leaves out never matches.

    Attributes:
        code: ISO 639-1.
        letters: its letters, as the inside of a character class.
        script, script_name: ISO 15924, and the word that Unicode's names of its letters hold.
        units: what its texts are compared by where words would not do: characters where endings pile up on words.
        particles_follow: whether a name may go on without a space, as in `타르신은`.
        endings: a pattern of what `stem` takes off a word, again and again.
        least_words: how many words with content a question needs to ask the same wherever it is asked.
        head: how many characters tell two words apart whatever follows them; None: all of them.
        empty_words, negations, greetings: words that say nothing of a subject, that deny, that only greet.
        claims, questions: how a sentence looks that states, that asks or requests.
        says_no, disagrees: fragments that open an answer: `no` before a comma, and any contradiction.
        dictations: orders to say something, with a group `script`; `undictated` before one says that it is none.
        options, choices: fragments between what a question offers, and between what an order lets choose.
        denied_before, denied_after: what denies a name, up to it and from it on.
        denials, affirmations, refusals: openings of answers that deny, agree, decline to answer.
        asks_for_json, asks_for_python: requests for an answer in that form.
        naming: how it speaks of persons.
    """

    code: str
    letters: str
    script: str
    script_name: str
    units: Literal["words", "characters"] = "words"
    particles_follow: bool = False
    endings: re.Pattern[str] | None = None
    least_words: int = 3
    head: int | None = None
    empty_words: frozenset[str] = frozenset()
    negations: frozenset[str] = frozenset()
    greetings: frozenset[str] = frozenset()
    claims: Patterns = ()
    questions: Patterns = ()
    says_no: str = ""
    disagrees: str = ""
    dictations: Patterns = ()
    undictated: Patterns = ()
    options: str = ""
    choices: str = ""
    denied_before: Patterns = ()
    denied_after: Patterns = ()
    denials: Patterns = ()
    affirmations: Patterns = ()
    refusals: Patterns = ()
    asks_for_json: Patterns = ()
    asks_for_python: Patterns = ()
    naming: Naming = Naming()

    def is_in(self, text: str) -> bool:
        """Whether the text holds a letter of this language."""
        return _letter(self.letters).search(text) is not None

    def stem(self, word: str) -> str:
        """The word without its endings; a word that is nothing but endings stays."""
        while self.endings and len(word) > 1 and (shorter := self.endings.sub("", word)) != word and shorter:
            word = shorter
        return word


def patterns(*sources: str) -> Patterns:
    """Compiled patterns that do not mind case."""
    return tuple(re.compile(source, re.IGNORECASE) for source in sources)


@cache
def _letter(letters: str) -> re.Pattern[str]:
    return re.compile(f"[{letters}]")
