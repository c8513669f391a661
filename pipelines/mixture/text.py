"""The text of a mixture, rebuilt from its plan wherever it is needed, the same bytes every time.

Plans live in the stage folder and hold ids; text lives in the attempt's scratch folder, which is deleted.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pipelines.artifacts import read_records, sha256_of, write_records
from pipelines.errors import ArtifactError, DataError
from pipelines.mixture.anchors import Anchor, AnchorName, AnchorPool
from pipelines.records import Body, Corpus, Example, MessageKey, Record, Source, Turn, TurnKey

_LINES_AT_A_TIME = 500


class PlanLine(Record):
    """One draw: the keys of a user's turns, or the id of an anchor in the pool that `source` names."""

    id: str
    part: Literal["train", "dev"]
    source: Source
    tokens: int
    turns: tuple[TurnKey, ...] = ()
    anchor: str | None = None


class MixedText(Record):
    """Two JSONL files of `Example`s, and one sha256 over both."""

    train: Path
    dev: Path
    sha256: str


def materialise(
    plan: Path,
    corpus: Corpus,
    pools: Mapping[AnchorName, AnchorPool],
    scratch: Path,
    *,
    expected_sha256: str | None = None,
) -> MixedText:
    """Write the text of a plan to `scratch`/mixture, for the rest of the attempt.

    Raises:
        ArtifactError: the text is not what it was when the plan was made.
        DataError: a message or an anchor of the plan no longer exists.
        Cancelled: a person of the plan was erased meanwhile.
    """
    folder = scratch / "mixture"
    folder.mkdir(mode=0o700, exist_ok=True)
    lines = read_plan(plan)
    paths = [_write(folder, part, lines, corpus, pools) for part in ("train", "dev")]
    sha256 = hashlib.sha256("".join(sha256_of(path) for path in paths).encode()).hexdigest()
    if expected_sha256 is not None and sha256 != expected_sha256:
        raise ArtifactError(
            f"the text of {plan} has changed since the mixture was made (sha256 {sha256[:12]}, was "
            f"{expected_sha256[:12]}): an anchor pool or a clean text was edited; start a new attempt"
        )
    return MixedText(train=paths[0], dev=paths[1], sha256=sha256)


def read_plan(path: Path) -> list[PlanLine]:
    """The lines of a plan.jsonl, in order."""
    return list(read_records(path, PlanLine))


def examples_of(lines: Sequence[PlanLine], corpus: Corpus, pools: Mapping[AnchorName, AnchorPool]) -> Iterator[Example]:
    """The examples that plan lines stand for, in order; text is fetched a few hundred lines at a time."""
    anchors: dict[tuple[str, str], Anchor] = {}
    for pool in pools.values():
        anchors.update({(pool.name, anchor.id): anchor for anchor in pool.anchors})
    for start in range(0, len(lines), _LINES_AT_A_TIME):
        group = lines[start : start + _LINES_AT_A_TIME]
        texts = corpus.texts([turn.key for line in group for turn in line.turns])
        for line in group:
            try:
                turns = _anchor_turns(line, anchors) if line.anchor else _user_turns(line, texts)
            except KeyError as error:
                raise DataError(
                    f"example {line.id} of the plan needs {error.args[0]}, which no longer exists"
                ) from error
            yield Example(id=line.id, source=line.source, turns=turns)


def _anchor_turns(line: PlanLine, anchors: Mapping[tuple[str, str], Anchor]) -> tuple[Turn, ...]:
    return anchors[line.source, line.anchor or ""].trained_turns


def _user_turns(line: PlanLine, texts: Mapping[MessageKey, Body]) -> tuple[Turn, ...]:
    return tuple(texts[turn.key].turn(turn.role, turn.trained) for turn in line.turns)


def _write(
    folder: Path, part: str, lines: Sequence[PlanLine], corpus: Corpus, pools: Mapping[AnchorName, AnchorPool]
) -> Path:
    path = folder / f"{part}.jsonl"
    write_records(path, examples_of([line for line in lines if line.part == part], corpus, pools))
    return path
