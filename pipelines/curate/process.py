"""Curation in a killable child process: a conversation that hangs or crashes it is quarantined, alone.

Light to import: neither Presidio nor any model is loaded in this process.
"""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter

from pipelines.curate.config import CurationConfig
from pipelines.errors import ChildCrashed, ChildTimedOut, MissingDependency
from pipelines.isolated import Child, StillOurs
from pipelines.records import CleanConversation, Conversation, Curated, Quarantined, Rejected

START_TIMEOUT_SECONDS = 120.0
TIMED_OUT, CRASHED = "worker_timeout", "worker_crashed"
_CURATOR = "pipelines.curate.child:open_curator"
_RECORDS: dict[str, TypeAdapter[Any]] = {
    kind: TypeAdapter(record)
    for kind, record in (("clean", CleanConversation), ("rejected", Rejected), ("quarantined", Quarantined))
}


class CuratorProcess:
    """One child with one Curator; started when first used, and again after a kill. Not for several threads at once.

    Use as a context manager, or call `close`, in the thread that uses it. `curator` exists for tests of the protocol.
    """

    def __init__(self, config: CurationConfig, curator: str = _CURATOR) -> None:
        self._config, self._curator = config, curator
        self._child: Child | None = None
        self._public: tuple[str, ...] = ()
        self._is_told = True  # whether the child knows them

    def start(self) -> None:
        """Starts the child if none is running and waits until it is ready (two seconds without a model).

        Raises:
            PerennialError: of the kind that building the Curator raised; InputError for a wrong configuration.
        """
        if self._child is not None and self._child.process.poll() is None:
            return
        self.close()
        self._child = Child(self._curator, self._config.model_dump(mode="json"))
        self._is_told = not self._public
        try:
            self._child.answer(START_TIMEOUT_SECONDS)
        except ChildCrashed as error:
            self.close()
            raise MissingDependency(f"the curation process did not start: {error}") from error
        except BaseException:
            self.close()
            raise

    def spare(self, names: Iterable[str]) -> None:
        """What Curator.spare does, in this child and in those that take its place."""
        public = tuple(sorted(names))
        self._is_told = self._is_told and public == self._public
        self._public = public

    def curate(
        self,
        conversation: Conversation,
        secret: bytes,
        key: bytes,
        timeout_seconds: float,
        still_ours: StillOurs = lambda: None,
    ) -> Curated:
        """What Curator.curate returns; Quarantined when the child hangs beyond the time-out, crashes or cannot answer.

        The time-out does not include the start of a child. Raises what `start` raises, and what `still_ours` does, which
        is asked twice a second; the child is gone by then.
        """
        self.start()
        assert self._child is not None
        job: dict[str, Any] = {"conversation": conversation.model_dump(mode="json")}
        job |= {"secret": secret.hex(), "key": key.hex()} | ({} if self._is_told else {"public": self._public})
        try:
            answer = self._child.ask(job, timeout_seconds, still_ours)
            self._is_told = True
            result: Curated = _RECORDS[answer["kind"]].validate_python(answer["record"])
            return result
        except ChildTimedOut:
            return self._given_up(conversation, TIMED_OUT)
        except (ChildCrashed, KeyError, ValueError):  # what they say may hold text, so it goes nowhere
            return self._given_up(conversation, CRASHED)
        except BaseException:  # its answer would be taken for that of the next conversation
            self.close()
            raise

    def close(self) -> None:
        """Kills the child, if there is one, and waits for its end."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _given_up(self, conversation: Conversation, reason: str) -> Quarantined:
        self.close()
        return Quarantined(id=conversation.id, reason=reason)
