"""What the reference says of everything a preference run reads: computed once, before the first step, and kept in a file.

A resumed run has other weights in memory than the reference's, so it reads the file:

    out/reference.npz   facts (JSON: digest, what was measured at step 0), log_probs, weights, mismatched, frozen_ids, ...
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipelines.artifacts import digest_of, sha256_of
from pipelines.backends.base import PreferRequest
from pipelines.backends.crossed import cross
from pipelines.backends.examples import EncodedExample
from pipelines.backends.preference_items import Answer, Item
from pipelines.backends.watch import Look, Reader, Watch, look
from pipelines.tokenizer import ChatTokenizer

_FILE = "reference.npz"
Numbers = np.ndarray[Any, Any]
Distributions = Sequence[tuple[Any, Any]]


class ReferenceReader(Reader, Protocol):
    """A backend's reader, which can also tell what the reference is kept by.

    Attributes:
        bf16: whether it reads in bfloat16.
    """

    bf16: bool

    def distributions(self, examples: Sequence[EncodedExample]) -> Distributions:
        """Per example, the likeliest tokens at its answers' positions, (N, K) ids, and their log-probabilities, nats."""
        ...

    def density(self, answers: Sequence[Answer], good: Sequence[bool], groups: Sequence[int]) -> list[float]:
        """How much each answer counts for the topic of its prompt: see density_weights."""
        ...

    def from_numpy(self, numbers: Numbers) -> Any:
        """The backend's own array of these numbers, for `kl`."""
        ...


@dataclass(frozen=True)
class ReferenceScores:
    """What the reference says of the training items, nats; `mismatched` is None where the method needs none.

    Attributes:
        log_probs: per item, one figure per answer.
        weights: per item, its own weight times its prompt's density weight.
        mismatched: per item, its prompt with an answer to another prompt, and the log-probability of that.
    """

    log_probs: Sequence[Sequence[float]]
    weights: Sequence[float]
    mismatched: Sequence[tuple[Answer, float]] | None = None


@dataclass(frozen=True)
class Reference:
    """`scores` are for the steps, `distributions` (of the frozen examples) and `before` for the stop rules."""

    scores: ReferenceScores
    distributions: Distributions
    before: Look


def consult_reference(
    request: PreferRequest,
    items: Sequence[Item],
    watch: Watch,
    reader: ReferenceReader,
    tokenizer: ChatTokenizer,
    out: Path,
) -> Reference:
    """What an earlier run of the same request left in `out`, or else what the reader's model says now."""
    digest = _digest(request, bf16=reader.bf16)
    path = out / _FILE
    facts = _read(path, digest)
    if facts is None:
        facts = _compute(request, items, watch, reader, tokenizer)
        _write(path, digest, facts)
    before, arrays = facts
    return Reference(_scores(request, items, arrays), _distributions(arrays, reader), before)


def forget_reference(out: Path) -> None:
    """Remove the file of a run that has ended."""
    (out / _FILE).unlink(missing_ok=True)


Facts = tuple[Look, dict[str, Numbers]]


def _compute(
    request: PreferRequest, items: Sequence[Item], watch: Watch, reader: ReferenceReader, tokenizer: ChatTokenizer
) -> Facts:
    distributions = reader.distributions(watch.frozen)
    weights = [item.weight for item in items]
    if request.method == "bco":
        density = _density(items, reader)
        weights = [own * factor for own, factor in zip(weights, density, strict=True)]
    crossed = cross(items, request.train.max_tokens, request.train.seed) if request.method == "kto" else []
    arrays = {
        "log_probs": np.array(reader.log_probs([answer for item in items for answer in item.answers])),
        "weights": np.array(weights),
        "mismatched": np.array(reader.log_probs(crossed)),
        "frozen_lengths": np.array([len(ids) for ids, _ in distributions], dtype=np.int64),
        "frozen_ids": _joined([ids for ids, _ in distributions]),
        "frozen_log_probs": _joined([log_probs for _, log_probs in distributions]),
    }
    return look(reader, watch, distributions, tokenizer), arrays


def _density(items: Sequence[Item], reader: ReferenceReader) -> list[float]:
    answers = [item.answers[0] for item in items]
    groups = [int(hashlib.sha256(repr(answer.prompt_ids).encode()).hexdigest()[:8], 16) for answer in answers]
    return reader.density(answers, [item.good for item in items], groups)


def _scores(request: PreferRequest, items: Sequence[Item], arrays: dict[str, Numbers]) -> ReferenceScores:
    values = iter(arrays["log_probs"].tolist())
    log_probs = [[next(values) for _ in item.answers] for item in items]
    mismatched = None
    if request.method == "kto":
        crossed = cross(items, request.train.max_tokens, request.train.seed)
        mismatched = list(zip(crossed, arrays["mismatched"].tolist(), strict=True))
    return ReferenceScores(log_probs, arrays["weights"].tolist(), mismatched)


def _distributions(arrays: dict[str, Numbers], reader: ReferenceReader) -> Distributions:
    ends = np.cumsum(arrays["frozen_lengths"])
    if not len(ends):
        return []
    ids, log_probs = (np.split(arrays[name], ends[:-1]) for name in ("frozen_ids", "frozen_log_probs"))
    return [(reader.from_numpy(one), reader.from_numpy(other)) for one, other in zip(ids, log_probs, strict=True)]


def _joined(parts: Sequence[Any]) -> Numbers:
    return np.concatenate([np.asarray(part) for part in parts]) if parts else np.zeros(0)


def _read(path: Path, digest: str) -> Facts | None:
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    facts = json.loads(str(arrays.pop("facts")))
    return (Look.model_validate(facts["before"]), arrays) if facts["digest"] == digest else None


def _write(path: Path, digest: str, facts: Facts) -> None:
    before, arrays = facts
    line = json.dumps({"digest": digest, "before": before.model_dump()})
    temporary = path.with_name(_FILE + ".tmp")
    with temporary.open("wb") as file:
        np.savez(file, facts=np.array(line), **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _digest(request: PreferRequest, *, bf16: bool) -> str:
    """Of everything that the reference's figures depend on."""
    files = {
        "train": request.train_file,
        "dev": request.dev_file,
        "frozen": request.frozen_file,
        "claims": request.claims_file,
        "adapter": request.adapter / "adapter_model.safetensors",
    }
    return digest_of(
        {
            **{name: None if path is None else sha256_of(path) for name, path in files.items()},
            "base": request.base_name,
            "method": request.method,
            "train": request.train.model_dump(mode="json"),
            "probes": request.preference.probes,
            "bf16": bf16,
        }
    )
