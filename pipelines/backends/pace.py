"""What every backend makes of timed rows: seconds of a row, of a token and of a token with loss."""

from collections.abc import Sequence

import numpy as np


def fit_pace(shapes: Sequence[tuple[int, int]], taken: Sequence[float]) -> tuple[float, float, float]:
    """Seconds of a row, of a token and of a token with loss: none below 0, each measurement weighing alike.

    Args:
        shapes: tokens of each row, and how many of them had loss.
        taken: seconds of each row.
    """
    from scipy.optimize import nnls  # a second to import, and only timing needs it

    facts = np.array([[1, tokens, with_loss] for tokens, with_loss in shapes]) / np.array(taken)[:, None]
    scale = facts.max(axis=0)
    solution, _ = nnls(facts / scale, np.ones(len(taken)))
    row, token, trained = (solution / scale).tolist()
    return row, token, trained
