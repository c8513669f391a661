"""Log-likelihoods, answer letters, greedy answers and perplexities of a served form.

Prompts are read one at a time, answers are written several at a time, and logits are computed only where they are
needed. Every number depends on its item alone: not on the order of items, nor on who is answered beside it, nor on what
was cached, nor on the size of the context.
"""

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.chat import Escape, find_masked
from pipelines.errors import InputError
from pipelines.gguf.check import verify_form
from pipelines.gguf.runtime import Runtime, fingerprint
from pipelines.gguf.session import Row, Session
from pipelines.gguf.writing import Prompt, Written, write_each
from pipelines.records import ServedForm

_SMALLEST_CONTEXT = 512
_SCORED_ROWS = 64


class GGUFScorer:
    """Scores a served form; its files are checked against their sha256 first.

    Raises:
        GGUFError: files missing, changed or unreadable.
    """

    def __init__(self, form: ServedForm, runtime: Runtime | None = None) -> None:
        verify_form(form)
        self._session = Session(form, context=_SMALLEST_CONTEXT, runtime=runtime)
        self._context_ids: tuple[int, ...] = ()
        self._context_row: Row | None = None

    @classmethod
    def open(cls, path: Path, sha256: str) -> "GGUFScorer":
        """A scorer of one merged GGUF."""
        return cls(ServedForm(kind="merged", path=str(path), sha256=sha256))

    @property
    def max_length(self) -> int:
        """Tokens that the model reads at most, prompt and answer together."""
        return self._session.trained_context

    @property
    def chat_template(self) -> str | None:
        """The template in the file, None if it has none."""
        return self._session.chat_template

    @property
    def escape(self) -> Escape:
        """Message text with every control token of this vocabulary broken up."""
        return self._session.escape

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts of the tokens that end generation."""
        return self._session.stops

    @property
    def end_token(self) -> int:
        """The id that ends an answer."""
        return self._session.end_token

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of a rendered prompt; markers in it are control tokens unless `special` is False."""
        return self._session.tokenize(text, special=special)

    def loglikelihood(
        self, context_ids: Sequence[int], continuation_ids: Sequence[int], counted: Sequence[bool] | None = None
    ) -> tuple[float, bool]:
        """Sum of log p(continuation | context) in nats, and whether greedy decoding would write just that.

        With `counted` only of those tokens of the continuation, though all of them are read. A context repeated by the
        next calls (the choices of one question) is computed once.
        """
        if not continuation_ids:
            raise InputError("an empty continuation has no likelihood")
        self._reserve(len(context_ids) + len(continuation_ids))
        total, greedy = _scored(self._after(context_ids)[None, :], continuation_ids[:1])
        rest = list(continuation_ids)
        for start in range(0, len(rest) - 1, _SCORED_ROWS):
            part = rest[start : min(start + _SCORED_ROWS, len(rest) - 1)]
            values, best = _scored(self._session.feed(part), rest[start + 1 : start + 1 + len(part)])
            total, greedy = np.concatenate([total, values]), np.concatenate([greedy, best])
        self._session.rewind(len(context_ids))
        chosen = slice(None) if counted is None else np.asarray(counted, dtype=bool)
        return float(total[chosen].sum()), bool(greedy[chosen].all())

    def unmasked(self, ids: Sequence[int], masked: Sequence[str]) -> list[bool]:
        """Of each of these tokens whether it belongs to none of the words `masked`."""
        pieces = [self._session.piece(token) for token in ids]
        ends = list(itertools.accumulate(map(len, pieces)))
        text = b"".join(pieces).decode(errors="replace")
        counted = [True] * len(pieces)
        for first, last in find_masked(text, masked):
            start, end = len(text[:first].encode()), len(text[:last].encode())
            for place in range(bisect_right(ends, start), len(pieces)):
                if ends[place] - len(pieces[place]) >= end:
                    break
                counted[place] = False
        return counted

    def distributions(
        self, context_ids: Sequence[int], continuation_ids: Sequence[int], places: Sequence[int]
    ) -> npt.NDArray[np.float64]:
        """log p of every token of the vocabulary at some places of the continuation, in nats: (places, vocabulary).

        Place 0 is the continuation's first token, given the context alone.
        """
        self._reserve(len(context_ids) + len(continuation_ids))
        rows = [self._after(context_ids)[None, :]]
        rest = list(continuation_ids[: max(places)])
        rows += [self._session.feed(rest[start : start + _SCORED_ROWS]) for start in range(0, len(rest), _SCORED_ROWS)]
        self._session.rewind(len(context_ids))
        picked = np.concatenate(rows)[list(places)].astype(np.float64)
        shifted = picked - picked.max(axis=1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))

    def choice_logits(self, prompt_ids: Sequence[int], letter_ids: Sequence[int]) -> list[float]:
        """The logits of the letters as the prompt's next token, from one forward."""
        self._reserve(len(prompt_ids))
        row = self._after(prompt_ids)
        return [float(row[letter]) for letter in letter_ids]

    def generate(self, prompt_ids: Sequence[int], max_tokens: int, stop: Sequence[str] = ()) -> str:
        """The text of `write`."""
        return self.write(prompt_ids, max_tokens, stop).text

    def write(self, prompt_ids: Sequence[int], max_tokens: int, stop: Sequence[str] = ()) -> Written:
        """The greedy answer, up to an end token, one of the `stop` texts (left out) or `max_tokens`; see `write_each`."""
        return self.write_all([Prompt(prompt_ids, max_tokens, stop)])[0]

    def write_all(self, prompts: Sequence[Prompt], done: Callable[[], None] = lambda: None) -> list[Written]:
        """The answers of `write_each` in the order of their prompts; `done` is called after each."""
        answers: dict[int, Written] = {}
        for place, written in self.write_each(prompts):
            answers[place] = written
            done()
        return [answers[place] for place in range(len(prompts))]

    def write_each(self, prompts: Sequence[Prompt]) -> Iterator[tuple[int, Written]]:
        """The place of a prompt and its greedy answer, each when it is written; an answer does not depend on the others.

        Nothing else may be asked of this scorer before the last of them.

        Raises:
            InputError: a prompt with its answer exceeds what the model reads.
        """
        lengths = [len(prompt.ids) + prompt.max_tokens for prompt in prompts]
        for prompt, length in zip(prompts, lengths, strict=True):
            if length > self.max_length:
                raise InputError(
                    f"a prompt of {len(prompt.ids)} tokens and an answer of {prompt.max_tokens} exceed the "
                    f"{self.max_length} tokens this model reads"
                )
        self._reserve(max(lengths, default=1), self._session.runtime.width)
        self._forget()
        yield from write_each(self._session, prompts)

    def log_probabilities(self, ids: Sequence[int]) -> npt.NDArray[np.float64]:
        """log p of every token but the first given all before it, in nats: the parts of a perplexity.

        Weigh them by a mask and take exp(-mean) over a whole set of texts.
        """
        if len(ids) < 2:
            return np.zeros(0)
        self._reserve(len(ids))
        self._forget()
        self._session.rewind(0)
        parts = []
        for start in range(0, len(ids) - 1, _SCORED_ROWS):
            part = list(ids[start : min(start + _SCORED_ROWS, len(ids) - 1)])
            parts.append(_scored(self._session.feed(part), ids[start + 1 : start + 1 + len(part)])[0])
        return np.concatenate(parts)

    def fingerprint(self) -> dict[str, str | int | bool]:
        """Everything besides form and prompt that moves a score; part of the key of cached scores."""
        return {"scorer": 3, **fingerprint(self._session.runtime)}

    def close(self) -> None:
        """Free the model and its context."""
        self._session.close()

    def __enter__(self) -> "GGUFScorer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _after(self, context_ids: Sequence[int]) -> Row:
        """Logits after the context, computed unless the last call left just that."""
        key = tuple(context_ids)
        if key != self._context_ids or self._context_row is None or self._session.length() != len(key):
            self._context_row = self._session.read(key)
            self._context_ids = key
        return self._context_row

    def _reserve(self, tokens: int, sequences: int = 1) -> None:
        """Room for so many tokens in each of so many conversations: one for likelihoods, `width` for answers."""
        if tokens > self._session.context or sequences != self._session.sequences:
            wanted = max(tokens, min(self.max_length, 1 << math.ceil(math.log2(tokens))), _SMALLEST_CONTEXT)
            self._forget()
            self._session.arrange(sequences, min(wanted, self.max_length))

    def _forget(self) -> None:
        self._context_ids, self._context_row = (), None


def _scored(rows: Row, targets: Sequence[int]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Log-probabilities of the targets under their rows of logits, and whether each was the greedy choice."""
    shifted = rows.astype(np.float64) - rows.max(axis=1, keepdims=True)
    picked = shifted[np.arange(len(targets)), list(targets)]
    return picked - np.log(np.exp(shifted).sum(axis=1)), rows.argmax(axis=1) == np.asarray(targets)
