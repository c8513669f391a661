"""Ten questions that a round held out, answered by the champion of then and by its candidate, to read before deciding.

The questions are what people wrote, anonymized: they and the answers stay in this process's memory for a while, never on
disk, and are gone as soon as one of these people is forgotten.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sqlmodel import Session

from pipelines.artifacts import read_records
from pipelines.errors import Cancelled, NotFound, PerennialError
from pipelines.records import MessageKey, SnapshotItem
from service.corpus import StoreCorpus
from service.models.answers import ask
from service.settings import Settings
from service.store import models, rounds
from service.store.session import Store
from service.store.tables import ServedForm
from service.vault import Vault

QUESTIONS = 10
_TOKENS = 200
_KEPT_SECONDS = 1800.0
State = Literal["none", "writing", "ready", "failed"]


@dataclass(frozen=True)
class Pair:
    """A question with what both models say to it."""

    question: str
    old: str
    new: str


@dataclass(frozen=True)
class Answers:
    """How far the answers of a round are; `problem` says why there are none, if they failed."""

    state: State
    pairs: tuple[Pair, ...] = ()
    problem: str = ""
    keys: tuple[MessageKey, ...] = ()
    at: float = 0.0


class AnswerDesk:
    """Has answers written, one round at a time, and keeps them for half an hour."""

    def __init__(self, settings: Settings, store: Store, vault: Vault) -> None:
        self._settings, self._store, self._vault = settings, store, vault
        self._turn, self._lock = threading.Lock(), threading.Lock()
        self._known: dict[int, Answers] = {}

    def begin(self, round_id: int) -> None:
        """Have the answers of a round written, unless they are there or on their way. Raises NotFound."""
        with self._store.read() as session:
            forms = _forms(session, round_id)
        with self._lock:
            if self._known.get(round_id, Answers("none")).state in ("writing", "ready"):
                return
            self._known[round_id] = Answers("writing")
        threading.Thread(target=self._write, args=(round_id, forms), name="answers", daemon=True).start()

    def look(self, round_id: int) -> Answers:
        """The answers as far as they are; none any more once one of their people was forgotten, or they are old."""
        with self._lock:
            known = self._known.get(round_id, Answers("none"))
        if known.state != "ready" or (time.monotonic() - known.at < _KEPT_SECONDS and self._may_be_shown(known)):
            return known
        with self._lock:
            self._known.pop(round_id, None)
        return Answers("none")

    def _may_be_shown(self, known: Answers) -> bool:
        try:
            StoreCorpus(self._store, self._vault).texts(known.keys)
        except Cancelled:
            return False
        return True

    def _write(self, round_id: int, forms: Sequence[ServedForm]) -> None:
        try:
            with self._turn:
                written = self._answers(round_id, forms)
        except PerennialError as error:
            written = Answers("failed", problem=self._settings.without_paths(str(error)))
        with self._lock:
            self._known[round_id] = replace(written, at=time.monotonic())

    def _answers(self, round_id: int, forms: Sequence[ServedForm]) -> Answers:
        keys = _questions(self._settings, round_id)
        texts = StoreCorpus(self._store, self._vault).texts(keys)
        questions = [texts[key].content for key in keys]
        old, new = (ask(self._settings.home, form, questions, _TOKENS) for form in forms)
        return Answers("ready", tuple(map(Pair, questions, old, new)), keys=keys)


def _forms(session: Session, round_id: int) -> tuple[ServedForm, ServedForm]:
    """What is served of the champion that the round's newest model was held against, and of that model."""
    made = rounds.models_of(session, round_id)
    champion = rounds.get_round(session, round_id).counts.get("champion")
    if not made:
        raise NotFound(f"round {round_id} made no model, so nothing can answer")
    names = (str(champion or made[-1].parents[0]), made[-1].id)
    forms = [models.get_model(session, name).form for name in names]
    for name, form in zip(names, forms, strict=True):
        if form is None or form.collected_at is not None:
            raise NotFound(f"the file of the model '{name}' is gone, so it cannot answer any more")
    old, new = forms
    assert old is not None and new is not None
    return old, new


def _questions(settings: Settings, round_id: int) -> tuple[MessageKey, ...]:
    """The first questions of held-out conversations that have one question alone."""
    path = settings.rounds / f"{round_id:04d}" / "attempt-1" / "snapshot" / "items.jsonl"
    if not path.is_file():
        raise NotFound(f"round {round_id} kept no snapshot, so there is nothing to ask")
    held = (one for one in read_records(path, SnapshotItem) if one.part == "heldout" and len(one.turns) == 2)
    keys = tuple(one.turns[0].key for _, one in zip(range(QUESTIONS), held, strict=False))
    if not keys:
        raise NotFound(f"round {round_id} held out no question that stands alone")
    return keys
