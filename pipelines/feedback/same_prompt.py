"""Intents: the prompts that ask for the same, near-duplicates by the signatures of curation, in memory only.

A prompt is its last question behind exactly what came before: the same words after another answer, another system
prompt or another request ask for something else. Only the question may differ in spelling and courtesies. One that
opens its conversation without a system prompt has nothing before it, so it is the same question in any conversation.

An intent is named by its first prompt in order. Similarity is not transitive, so two prompts of one intent may
still differ: `Intents.alike` tells.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from pipelines.curate.cluster import same_cluster, signature
from pipelines.records import RatedMessage, Signature
from pipelines.text import fold

_KEY = b"intents"  # signatures never leave the process
_MOST_COMPARED = (
    64  # an app that fills in a form makes any number of long questions that share bands and ask different things
)


@dataclass(frozen=True, order=True)
class Prompt:
    """What an answer answers: the last question, and a digest of everything else before the answer."""

    context: str
    question: str

    @property
    def asks(self) -> bool:
        """Whether there is a question at all."""
        return self.question != ""


def prompt_of(before: Sequence[RatedMessage], home: str) -> Prompt:
    """The prompt that these turns are, from the root. Without a question it is like none outside its conversation `home`."""
    place = max((place for place, message in enumerate(before) if message.role == "user"), default=None)
    question = "" if place is None else fold(before[place].text, "NFC")
    rest = [[message.role, fold(message.said, "NFC"), *message.parts] for message in before]
    if place is not None:
        rest[place] = ["user", "", *before[place].parts]
    context = json.dumps([rest, "" if question else home])
    return Prompt(hashlib.sha256(context.encode()).hexdigest(), question)


class Intents:
    """The intents of these prompts."""

    def __init__(self, prompts: Iterable[Prompt]) -> None:
        self._signatures = {prompt: signature(prompt.question, _KEY) for prompt in sorted(set(prompts))}
        self._intents: dict[Prompt, Prompt] = {}
        self._exact: dict[tuple[str, str], Prompt] = {}
        self._bands: dict[tuple[str, int, int], list[Prompt]] = {}
        for prompt, signed in self._signatures.items():
            self._intents[prompt] = self._place(prompt, signed)

    def of(self, prompt: Prompt) -> Prompt:
        """The prompt that names its intent."""
        return self._intents[prompt]

    def alike(self, first: Prompt, second: Prompt) -> bool:
        """Whether an answer to one is an answer to the other."""
        if first.context != second.context or not (first.asks and second.asks):
            return False
        return same_cluster(self._signatures[first], self._signatures[second], max_added=0)

    def _place(self, prompt: Prompt, signed: Signature) -> Prompt:
        if (prompt.context, signed.exact) in self._exact:
            return self._exact[prompt.context, signed.exact]
        bands = [(prompt.context, *band) for band in enumerate(signed.bands)]
        near = islice(_each_once(name for band in bands for name in self._bands.get(band, ())), _MOST_COMPARED)
        intent = next((name for name in near if self.alike(name, prompt)), None)
        if intent is None:
            intent = prompt
            for band in bands:
                self._bands.setdefault(band, []).append(prompt)
        self._exact[prompt.context, signed.exact] = intent
        return intent


def _each_once(prompts: Iterable[Prompt]) -> Iterator[Prompt]:
    seen: set[Prompt] = set()
    for prompt in prompts:
        if prompt not in seen:
            seen.add(prompt)
            yield prompt
