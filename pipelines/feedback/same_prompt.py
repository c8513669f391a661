"""Intents: the prompts that ask for the same, near-duplicates by the signatures of curation, in memory only.

A prompt is its last question behind exactly what came before: the same words after another answer, another system
prompt or another request ask for something else. Only the question may differ in spelling and courtesies. One that
opens its conversation without a system prompt has nothing before it, so it is the same question in any conversation.

An intent is named by its first prompt in order. Similarity is not transitive, so two prompts of one intent may
still differ: `Intents.alike` tells.
"""

import heapq
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise

from pipelines.curate.cluster import same_cluster, signature
from pipelines.records import RatedMessage, Signature
from pipelines.text import digest, fold

_KEY = b"intents"  # signatures never leave the process
_MOST_COMPARED = (
    64  # an app that fills in a form makes any number of long questions that share bands and ask different things
)
_TEXTS_AT_ONCE = 1_000
_NOTHING = digest("")


@dataclass(frozen=True, order=True, slots=True)
class Prompt:
    """What an answer answers, by digests: the last question, and everything else before the answer."""

    context: bytes
    question: bytes

    @property
    def asks(self) -> bool:
        """Whether there is a question at all."""
        return self.question != _NOTHING


def prompt_of(before: Sequence[RatedMessage], home: str) -> tuple[Prompt, str]:
    """The prompt that these turns are, from the root, and what its question says.

    Without a question it is like none outside its conversation `home`.
    """
    place = max((place for place, message in enumerate(before) if message.role == "user"), default=None)
    question = "" if place is None else fold(before[place].text, "NFC")
    rest = [[message.role, fold(message.said, "NFC"), *message.parts] for message in before]
    if place is not None:
        rest[place] = ["user", "", *before[place].parts]
    return Prompt(digest(json.dumps([rest, "" if question else home])), digest(question)), question


class Intents:
    """The intents of these prompts. What each asks is given with it, and read again where prompts have to be ordered."""

    def __init__(self, prompts: Iterable[tuple[Prompt, str]], read_question: Callable[[Prompt], str]) -> None:
        signed: dict[Prompt, _Signed] = {}
        for prompt, question in prompts:
            if prompt not in signed:
                signed[prompt] = _Signed(signature(question, _KEY), prompt.context)
        keys = sorted(chain.from_iterable(one.keys for one in signed.values()))
        self._shared = {key for key, following in pairwise(keys) if key == following}
        self._signed = {prompt: one for prompt, one in signed.items() if not self._shared.isdisjoint(one.keys)}
        self._intents: dict[Prompt, Prompt] = {}
        self._exact: dict[tuple[bytes, bytes], Prompt] = {}
        self._bands: dict[int, list[Prompt]] = {}
        for prompt in _by_question(self._signed, read_question):
            self._intents[prompt] = self._place(prompt, self._signed[prompt])

    def of(self, prompt: Prompt) -> Prompt:
        """The prompt that names its intent; itself where none is near it."""
        return self._intents.get(prompt, prompt)

    def alike(self, first: Prompt, second: Prompt) -> bool:
        """Whether an answer to one is an answer to the other."""
        if first.context != second.context or not (first.asks and second.asks):
            return False
        if first == second:
            return True
        both = (self._signed.get(first), self._signed.get(second))
        return both[0] is not None and both[1] is not None and both[0].says_the_same(both[1])

    def _place(self, prompt: Prompt, signed: "_Signed") -> Prompt:
        exact = (prompt.context, signed.exact)
        if exact in self._exact:
            return self._exact[exact]
        bands = [band for band in signed.keys[1:] if band in self._shared]
        near = islice(_each_once(name for band in bands for name in self._bands.get(band, ())), _MOST_COMPARED)
        intent = next((name for name in near if self.alike(name, prompt)), None)
        if intent is None:
            intent = prompt
            for band in bands:
                self._bands.setdefault(band, []).append(prompt)
        self._exact[exact] = intent
        return intent


class _Signed:
    """A signature in a tenth of its memory. `keys` are hashes of its exact form and of its bands, behind one context."""

    __slots__ = ("keys", "exact", "_minhash", "_words")

    def __init__(self, signed: Signature, context: bytes) -> None:
        parts = (signed.exact, *(f"{place}/{band}" for place, band in enumerate(signed.bands)))
        self.keys = array("Q", (int.from_bytes(digest(f"{context.hex()}/{part}")[:8], "big") for part in parts))
        self.exact = bytes.fromhex(signed.exact)
        self._minhash = array("I", signed.minhash)
        self._words = " ".join(signed.content_words).encode()

    def says_the_same(self, other: "_Signed") -> bool:
        """Whether neither adds a word that says something."""
        if self.exact == other.exact:
            return True
        if not self._minhash or not other._minhash:
            return False
        return same_cluster(self._unpacked(), other._unpacked(), max_added=0)

    def _unpacked(self) -> Signature:
        return Signature.model_construct(
            exact=self.exact.hex(), minhash=tuple(self._minhash), content_words=tuple(self._words.decode().split())
        )


def _by_question(prompts: Iterable[Prompt], read_question: Callable[[Prompt], str]) -> Iterator[Prompt]:
    """Prompts in the order of their questions, of which only so many are in memory at once: sorted in runs, then merged."""
    iterator, runs = iter(prompts), []
    while run := list(islice(iterator, _TEXTS_AT_ONCE)):
        runs.append(sorted(run, key=read_question))
    return heapq.merge(*runs, key=read_question)


def _each_once(prompts: Iterable[Prompt]) -> Iterator[Prompt]:
    seen: set[Prompt] = set()
    for prompt in prompts:
        if prompt not in seen:
            seen.add(prompt)
            yield prompt
