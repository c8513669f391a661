"""Which prompts ask for the same: near-duplicates by the signatures of curation, in memory only.

An intent is named by its first prompt in text order. Similarity is not transitive, so two prompts of one intent may
still differ: `Intents.alike` tells.
"""

from collections.abc import Iterable

from pipelines.curate.cluster import same_cluster, signature
from pipelines.records import Signature

_KEY = b"intents"  # signatures never leave the process


class Intents:
    """The intents of these prompts; a prompt is the user's turns before an answer, in one text."""

    def __init__(self, prompts: Iterable[str]) -> None:
        self._signatures = {prompt: signature(prompt, _KEY) for prompt in sorted(set(prompts))}
        self._intents: dict[str, str] = {}
        self._exact: dict[str, str] = {}
        self._bands: dict[tuple[int, int], list[str]] = {}
        for prompt, made in self._signatures.items():
            self._intents[prompt] = self._place(prompt, made)

    def of(self, prompt: str) -> str:
        """The name of the prompt's intent."""
        return self._intents[prompt]

    def alike(self, first: str, second: str) -> bool:
        """Whether an answer to one is an answer to the other."""
        return same_cluster(self._signatures[first], self._signatures[second], max_added=0)

    def _place(self, prompt: str, made: Signature) -> str:
        if made.exact in self._exact:
            return self._exact[made.exact]
        near = (name for band in enumerate(made.bands) for name in self._bands.get(band, ()))
        intent = next((name for name in near if same_cluster(self._signatures[name], made, max_added=0)), None)
        if intent is None:
            intent = prompt
            for band in enumerate(made.bands):
                self._bands.setdefault(band, []).append(prompt)
        self._exact[made.exact] = intent
        return intent
