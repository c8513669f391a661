"""Examples -> token ids with labels, and how they share rows. Only marked assistant turns ever carry a label.

A line of the text file, and what becomes of it:
    {"id": "9f..", "source": "new", "turns": [{"role": "user", "content": "hi", "trained": false}, ...]}
    EncodedExample(id="9f..", ids=[1, 341, 198, 72, ...], labels=[-100, -100, ..., 503, 2, -100], anchor=False)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.artifacts import read_records
from pipelines.errors import TrainingError
from pipelines.records import Example
from pipelines.rows import Encoded
from pipelines.tokenizer import ChatTokenizer

IGNORED = -100
_ANCHOR_SOURCES = ("general", "coding", "reasoning")


@dataclass(frozen=True)
class EncodedExample:
    """One row of an example as ids; `labels` hold IGNORED wherever there is no loss."""

    id: str
    ids: tuple[int, ...]
    labels: tuple[int, ...]
    anchor: bool


@dataclass(frozen=True)
class ExampleSet:
    """The rows that a text file gave; `truncated` counts examples that lost old turns, or an answer that does not fit."""

    examples: tuple[EncodedExample, ...]
    truncated: int
    left_out: int

    @property
    def tokens(self) -> int:
        """Of all examples, whether they get loss or not."""
        return sum(len(example.ids) for example in self.examples)


def load_examples(path: Path, tokenizer: ChatTokenizer, max_tokens: int) -> ExampleSet:
    """The rows of a JSONL file's examples, tokenized; repeats of one id are tokenized once.

    Raises:
        DataError: a line is not an example.
    """
    known: dict[str, tuple[tuple[EncodedExample, ...], bool]] = {}
    results = []
    for example in read_records(path, Example):
        if example.id not in known:
            known[example.id] = _encode(example, tokenizer, max_tokens)
        results.append(known[example.id])
    rows = tuple(row for encoded, _ in results for row in encoded)
    return ExampleSet(rows, sum(cut for encoded, cut in results if encoded), sum(not encoded for encoded, _ in results))


def require_trained(examples: Sequence[EncodedExample], what: str) -> None:
    """Raise TrainingError if no token of all of them would get loss, so that training would be a waste."""
    if not any(label != IGNORED for example in examples for label in example.labels):
        raise TrainingError(
            f"no token of the {len(examples)} {what} examples would get loss: no assistant turn is marked as trained "
            "and fits into train.max_tokens"
        )


def best_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices grouped into bins of at most `capacity`: longest first, each into the fullest bin that still takes it.

    A length above the capacity gets a bin of its own.
    """
    bins: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        fitting = [place for place in range(len(bins)) if room[place] >= lengths[index]]
        if fitting:
            best = min(fitting, key=lambda place: (room[place], place))
            bins[best].append(index)
            room[best] -= lengths[index]
        else:
            bins.append([index])
            room.append(capacity - lengths[index])
    return bins


def _encode(example: Example, tokenizer: ChatTokenizer, max_tokens: int) -> tuple[tuple[EncodedExample, ...], bool]:
    """The rows of an example in which something gets loss, and whether it was shortened."""
    rows, shortened = tokenizer.rows(example.turns, max_tokens)
    anchor = example.source in _ANCHOR_SOURCES
    return tuple(_labelled(example.id, row, anchor) for row in rows if any(row.mask)), shortened


def _labelled(id: str, row: Encoded, anchor: bool) -> EncodedExample:
    labels = tuple(token if on else IGNORED for token, on in zip(row.ids, row.mask, strict=True))
    return EncodedExample(id, tuple(row.ids), labels, anchor)
