"""Choosing the next token from its logits."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from pipelines.errors import GGUFError
from pipelines.gguf.grammar import Grammar
from pipelines.gguf.protocol import ChatRequest
from pipelines.gguf.session import Row

_CANDIDATES = 1024
_RECENT = 64

Weights = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Sampler:
    """Draws the tokens of one answer, one after the other.

    Frequency and presence count what the answer holds, as OpenAI's do; the repeat penalty looks at the last 64 tokens,
    the prompt's among them, as llama.cpp's does. `grammar`, once it is set, is kept to.
    """

    def __init__(
        self, wishes: ChatRequest, prompt: Sequence[int], generator: np.random.Generator, ends: Callable[[int], bool]
    ) -> None:
        self._wishes, self._generator, self._ends = wishes, generator, ends
        self._counts: Counter[int] = Counter()
        self._recent = list(prompt[-_RECENT:])
        self.grammar: Grammar | None = None

    def choose(self, row: Row) -> int:
        """The next token after these logits.

        Raises:
            GGUFError: the grammar allows no token of this vocabulary.
        """
        row = self._penalized(row)
        token = self._draw(row)
        if self.grammar is not None:
            if not self.grammar.allows(token):
                row = self.grammar.allowed(row)
                if not bool(np.isfinite(row).any()):
                    raise GGUFError("no token of this model can go on as the asked form demands")
                token = self._draw(row)
            if not self._ends(token):
                self.grammar.accept(token)
        self._counts[token] += 1
        self._recent = [*self._recent[1 - _RECENT :], token]
        return token

    def _draw(self, row: Row) -> int:
        wishes = self._wishes
        return sample(row, wishes.temperature, wishes.top_p, self._generator, top_k=wishes.top_k, min_p=wishes.min_p)

    def _penalized(self, row: Row) -> Row:
        wishes = self._wishes
        if wishes.repeat_penalty == 1.0 and not wishes.frequency_penalty and not wishes.presence_penalty:
            return row
        row = row.copy()
        if wishes.repeat_penalty != 1.0:
            recent = np.unique(self._recent)
            row[recent] = np.where(
                row[recent] > 0, row[recent] / wishes.repeat_penalty, row[recent] * wishes.repeat_penalty
            )
        for token, count in self._counts.items():
            row[token] -= count * wishes.frequency_penalty + wishes.presence_penalty
        return row


def sample(
    row: Row, temperature: float, top_p: float, generator: np.random.Generator, *, top_k: int = 0, min_p: float = 0.0
) -> int:
    """The greedy token at temperature 0; else one drawn from the likeliest tokens that together reach `top_p`.

    `top_k` leaves so many of the likeliest, 0 all; `min_p` those that are at least so likely in parts of the likeliest.
    """
    if temperature <= 0.0:
        return int(row.argmax())
    scaled = row.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    if min_p > 0.0:
        weights[weights < min_p] = 0.0
    if 0 < top_k < len(weights):
        weights[np.argpartition(weights, -top_k)[:-top_k]] = 0.0
    weights /= weights.sum()
    if top_p >= 1.0:
        return int(np.searchsorted(np.cumsum(weights), generator.random() * (1.0 - 1e-12), side="right"))
    order = _likeliest(weights, top_p)
    reached = np.cumsum(weights[order])
    count = int(np.searchsorted(reached, top_p)) + 1
    draw = generator.random() * reached[min(count, len(order)) - 1]
    return int(order[min(int(np.searchsorted(reached, draw, side="right")), len(order) - 1)])


def log_shares(row: Row) -> Weights:
    """The logarithm of each token's share, as the model gives it: before temperature, penalties and grammar."""
    wide = row.astype(np.float64)
    wide -= wide.max()
    shares: Weights = wide - np.log(np.exp(wide).sum())
    return shares


def likeliest_of(shares: Weights, count: int) -> list[int]:
    """So many tokens by falling share."""
    best = np.argpartition(shares, -count)[-count:] if 0 < count < len(shares) else np.arange(len(shares))[:count]
    return [int(token) for token in best[np.argsort(-shares[best], kind="stable")]]


def _likeliest(weights: Weights, share: float) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """Token ids by falling probability, at least as many as reach the share; avoids sorting a large vocabulary."""
    if len(weights) > _CANDIDATES:
        best = np.argpartition(weights, -_CANDIDATES)[-_CANDIDATES:]
        if weights[best].sum() >= share:
            return best[np.argsort(-weights[best], kind="stable")]
    return np.argsort(-weights, kind="stable")
