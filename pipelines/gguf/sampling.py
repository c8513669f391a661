"""Choosing the next token from its logits."""

import numpy as np

from pipelines.gguf.session import Row

_CANDIDATES = 1024


def sample(row: Row, temperature: float, top_p: float, generator: np.random.Generator) -> int:
    """The greedy token at temperature 0; else one drawn from the likeliest tokens that together reach `top_p`."""
    if temperature <= 0.0:
        return int(row.argmax())
    scaled = row.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    weights /= weights.sum()
    if top_p >= 1.0:
        return int(np.searchsorted(np.cumsum(weights), generator.random() * (1.0 - 1e-12), side="right"))
    order = _likeliest(weights, top_p)
    reached = np.cumsum(weights[order])
    count = int(np.searchsorted(reached, top_p)) + 1
    draw = generator.random() * reached[min(count, len(order)) - 1]
    return int(order[min(int(np.searchsorted(reached, draw, side="right")), len(order) - 1)])


def _likeliest(
    weights: np.ndarray[tuple[int, ...], np.dtype[np.float64]], share: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """Token ids by falling probability, at least as many as reach the share; avoids sorting a large vocabulary."""
    if len(weights) > _CANDIDATES:
        best = np.argpartition(weights, -_CANDIDATES)[-_CANDIDATES:]
        if weights[best].sum() >= share:
            return best[np.argsort(-weights[best], kind="stable")]
    return np.argsort(-weights, kind="stable")
