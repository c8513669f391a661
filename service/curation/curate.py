"""Takes what waits, gives it to a curator within its budget, and stores what comes of it.

    light   what most conversations are: in batches, oldest first, each within the budget of a curator for light ones
    heavy   what budget.py calls so, or took longer than that: one at a time, behind everything else, in fair turns

A correction that curation refuses is left out with its rule and never costs the conversation
(docs/decisions/corrections.md).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from pipelines.curate import quality
from pipelines.curate.config import OVER_BUDGET
from pipelines.curate.process import CRASHED, TIMED_OUT, CuratorProcess
from pipelines.errors import MissingDependency, PerennialError
from pipelines.records import CleanConversation, Conversation, Curated, Message, Quarantined, Rejected
from service.curation.budget import LIGHT_CHARACTERS, PERSON_SECONDS, Spending
from service.curation.claim import Job, claim, claim_heavy
from service.curation.configuration import CountedNames, configuration
from service.curation.results import Done, store_results, store_unreadable
from service.settings import Settings
from service.store import curation
from service.store.session import Store
from service.vault import Vault

STORE_EVERY_SECONDS = 1.0
BATCH_SECONDS = 5.0  # then the rest of a batch goes back, and the worker looks after its rounds
CORRECTIONS_SECONDS = (
    30.0  # then no further correction of a conversation is tried; below the lease with what is under way
)
_KILL_FACTOR = 3.0  # what works within its budget of processor time may take longer by the clock
_TOO_LONG = (OVER_BUDGET, TIMED_OUT)
_HARMLESS = Conversation(
    id="harmless",
    messages=(
        Message(id="1", role="user", content="What is one and one?"),
        Message(id="2", role="assistant", content="Two.", parent="1"),
    ),
)

Lane = Literal["light", "heavy"]


class Curator(Protocol):
    """What makes a conversation clean: pipelines.curate.curate.Curator, or one in a killable process (open_curator)."""

    def curate(self, conversation: Conversation, secret: bytes, key: bytes) -> Curated:
        """The clean conversation, its rejection, or its quarantine."""
        ...


@contextmanager
def open_curator(
    settings: Settings, lane: Lane = "heavy", still_ours: Callable[[], None] = lambda: None, store: Store | None = None
) -> Iterator[Curator]:
    """A curator in a child process that is killed when one conversation takes longer than its lane allows.

    Names that many people of the `store` wrote are spared, where there is one. `still_ours` is asked twice a second while it works, and may
    raise to have it given up.

    Raises:
        InputError: no model for names is configured, and going without one is not allowed.
    """
    allowed = settings.curation_timeout_seconds
    budget = min(settings.curation_budget_seconds, allowed) if lane == "light" else allowed
    with CuratorProcess(configuration(settings, budget)) as process:
        process.start()
        counted = CountedNames(store, settings.public_names_people) if store else frozenset[str]
        yield _Bounded(process, min(allowed, _KILL_FACTOR * budget), still_ours, counted)


def curate_due(
    store: Store,
    vault: Vault,
    curator: Curator,
    limit: int = 32,
    lane: Lane | None = None,
    spending: Spending | None = None,
) -> dict[str, int]:
    """Curates some of what waits; returns how many conversations became clean, rejected, quarantined.

    Of the lane that is named: up to `limit` light ones, or one heavy one; without a name heavy ones once no light one is
    left. `spending` is what people had of this worker's time; without it everybody had nothing.
    Empty counts mean that nothing is due.
    """
    work = _Work(store, vault, curator, Spending() if spending is None else spending)
    counts: Counter[str] = Counter()
    if lane != "heavy":
        counts = work.light(limit, defers=lane == "light")
    if not counts and lane != "light":
        counts = work.heavy()
    return dict(counts)


def delete_raw(store: Store, at: datetime, retention_days: int, limit: int = 1_000) -> int:
    """Deletes the raw text and the surrogate secret of conversations first curated more than `retention_days` ago.

    Returns how many; call again while it returns `limit`. What was made clean stays. What came later, a correction or a
    further turn, goes with the rest: it must not keep it.
    """
    with store.begin() as session:
        return curation.delete_originals(session, at - timedelta(days=retention_days), at, limit)


def delete_rejected(store: Store, at: datetime, rejected_days: int, limit: int = 500) -> int:
    """Deletes what curation rejected, or could not check, more than `rejected_days` ago; call again while it returns `limit`."""
    with store.begin() as session:
        return curation.delete_rejected(session, at - timedelta(days=rejected_days), limit)


def _crashed(result: Curated) -> bool:
    return isinstance(result, Quarantined) and result.reason == CRASHED


@dataclass(frozen=True)
class _Bounded:
    process: CuratorProcess
    timeout_seconds: float
    still_ours: Callable[[], None]
    counted_names: Callable[[], frozenset[str]] = frozenset

    def curate(self, conversation: Conversation, secret: bytes, key: bytes) -> Curated:
        """What the process makes of it.

        Raises:
            MissingDependency: the process crashes on any text, so that this one is not to blame.
        """
        self.process.spare(self.counted_names())
        result = self._ask(conversation, secret, key)
        if _crashed(result) and _crashed(self._ask(_HARMLESS, secret, key)):
            raise MissingDependency(
                "the curation process crashes whatever it is given; see what it needs (perennial curate)"
            )
        return result

    def _ask(self, conversation: Conversation, secret: bytes, key: bytes) -> Curated:
        return self.process.curate(conversation, secret, key, self.timeout_seconds, self.still_ours)


@dataclass(frozen=True)
class _Work:
    """One call's worth of curation."""

    store: Store
    vault: Vault
    curator: Curator
    spending: Spending

    def light(self, limit: int, defers: bool) -> Counter[str]:
        """A batch of light conversations; what turns out to be heavy goes to the other lane."""
        claimed = claim(self.store, self.vault, limit)
        counts = store_unreadable(self.store, claimed.unreadable)
        waiting, heavy, done = list(claimed.jobs), list[str](), list[Done]()
        started = stored_at = time.monotonic()
        while waiting and time.monotonic() - started < BATCH_SECONDS:
            job = waiting.pop(0)
            result = None if self._is_heavy(job) else self._curate(job)
            if result is None or (defers and _took_too_long(result)):
                heavy.append(job.row.id)
            else:
                done.append(result)
            if time.monotonic() - stored_at > STORE_EVERY_SECONDS:
                counts += store_results(self.store, self.vault, done)
                done, stored_at = [], time.monotonic()
        self._give_back(heavy, heavy=True)
        self._give_back([job.row.id for job in waiting])
        return counts + store_results(self.store, self.vault, done)

    def heavy(self) -> Counter[str]:
        """One heavy conversation, if one waits."""
        claimed = claim_heavy(self.store, self.vault, self.spending)
        counts = store_unreadable(self.store, claimed.unreadable)
        return counts + store_results(self.store, self.vault, [self._curate(job) for job in claimed.jobs])

    def _is_heavy(self, job: Job) -> bool:
        return job.weight() > LIGHT_CHARACTERS or self.spending.of(job.characters()) > PERSON_SECONDS

    def _curate(self, job: Job) -> Done:
        started = time.monotonic()
        try:
            result = _curate(self.curator, job, self.vault.cluster_key, started + CORRECTIONS_SECONDS)
        except PerennialError:  # of the curator, not of this conversation: it did not start, or the worker ends
            raise
        except Exception as error:
            result = Done(job, Quarantined(id=job.row.id, reason=f"curation_failed:{type(error).__name__}"), {})
        self.spending.charge(time.monotonic() - started, job.characters())
        return result

    def _give_back(self, ids: Sequence[str], heavy: bool | None = None) -> None:
        if ids:
            with self.store.begin() as session:
                curation.give_back(session, ids, heavy)


def _took_too_long(done: Done) -> bool:
    return (isinstance(done.result, Quarantined) and done.result.reason in _TOO_LONG) or any(
        rule == f"quarantined:{reason}" for rule in done.refused.values() for reason in _TOO_LONG
    )


def _curate(curator: Curator, job: Job, cluster_key: bytes, deadline: float) -> Done:
    """The conversation with its corrections if all of them pass, else with those that do; those not tried by the
    deadline are left out."""
    result = curator.curate(job.conversation, job.secret, cluster_key)
    refused: dict[str, str | None] = dict.fromkeys(job.skipped, "too_many_corrections")
    if all(_refusal(result, correction) is None for correction in job.corrections):
        return Done(job, result, refused | dict.fromkeys(job.corrections))
    plain = curator.curate(_with_corrections(job, ()), job.secret, cluster_key)
    if not isinstance(plain, CleanConversation):
        return Done(job, plain, refused)
    result = plain
    kept: list[str] = []
    for correction in job.corrections:
        if time.monotonic() > deadline:
            refused[correction] = f"quarantined:{OVER_BUDGET}"
            continue
        tried = curator.curate(_with_corrections(job, [*kept, correction]), job.secret, cluster_key)
        refused[correction] = _refusal(tried, correction)
        if refused[correction] is None:
            kept.append(correction)
            result = tried
    return Done(job, result, refused)


def _with_corrections(job: Job, kept: Sequence[str]) -> Conversation:
    """The conversation with these of its corrections only."""
    messages = [m for m in job.conversation.messages if m.id not in job.corrections or m.id in kept]
    return job.conversation.model_copy(update={"messages": tuple(messages)})


def _refusal(result: Curated, correction: str) -> str | None:
    """The rule that a correction breaks: the conversation's with it, or one of quality by itself."""
    if isinstance(result, Rejected):
        return result.rule
    if not isinstance(result, CleanConversation):
        return f"quarantined:{result.reason}"
    text = [message.text for message in result.messages if message.id == correction]
    if quality.is_gibberish(text):
        return "gibberish"
    return "repetition" if quality.is_repetition(text) else None
