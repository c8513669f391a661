"""What Prometheus reads: counts of this process since it started, and how things stand at the moment of asking.

Names and units by Prometheus' conventions: `perennial_` in front, base units, `_total` behind a count.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pipelines.gguf.protocol import End, Start

_FIRST_TOKEN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_ENGINE_STATES = ("serving", "loading", "empty", "down")
_ROUND_STATES = ("requested", "running", "passed", "failed", "inconclusive", "skipped", "cancelled", "error")


class Tally:
    """The counts of one web process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._chats = self._count("chats", "Chats that were answered, by how that ended.", "model", "end")
        self._prompt = self._count("prompt_tokens", "Tokens of the prompts that were answered.", "model")
        self._said = self._count("completion_tokens", "Tokens of the answers.", "model")
        self.refused = self._count("chats_refused", "Chats that were turned away because too many waited.")
        self.first_token = Histogram(
            "perennial_first_token_seconds",
            "Seconds from a request until the first text of its answer.",
            buckets=_FIRST_TOKEN_SECONDS,
            registry=self.registry,
        )

    def note(self, start: Start, end: End | None) -> None:
        """Count an answer; `end` None for one that was not whole."""
        self._chats.labels(start.model, end.reason if end else "cut_off").inc()
        self._prompt.labels(start.model).inc(start.prompt_tokens)
        self._said.labels(start.model).inc(end.completion_tokens if end else 0)

    def _count(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"perennial_{name}", what, labels, registry=self.registry)


@dataclass(frozen=True)
class Standing:
    """How things stand; None where nobody knows, as the database or the engine does not say."""

    is_writable: bool
    queue: int
    engine: str
    chats_active: int | None
    chats_waiting: int | None
    curation_waiting: int | None
    curation_oldest_seconds: float | None
    worker_seen_seconds_ago: float | None
    rounds: Mapping[str, int] | None


def render(tally: Tally, standing: Standing) -> bytes:
    """Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Gauges(standing))
    return generate_latest(tally.registry) + generate_latest(registry)


class _Gauges(Collector):
    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges; one that is not known is left out."""
        now = self._standing
        values = (
            ("database_writable", "Whether conversations can be stored.", int(now.is_writable)),
            ("ingest_queue_conversations", "Conversations that wait for a commit.", now.queue),
            ("engine_chats_active", "Chats that the engine answers.", now.chats_active),
            ("engine_chats_waiting", "Chats that wait for the engine.", now.chats_waiting),
            ("curation_waiting_conversations", "Conversations that wait for curation.", now.curation_waiting),
            ("curation_oldest_waiting_seconds", "How long the first of them waits.", now.curation_oldest_seconds),
            ("worker_heartbeat_age_seconds", "Since when no worker was seen.", now.worker_seen_seconds_ago),
        )
        for name, what, value in values:
            if value is not None:
                yield GaugeMetricFamily(f"perennial_{name}", what, value)
        engine = GaugeMetricFamily("perennial_engine_state", "1 for the state that the engine is in.", labels=["state"])
        for state in _ENGINE_STATES:
            engine.add_metric([state], int(state == now.engine))
        yield engine
        if now.rounds is not None:
            rounds = GaugeMetricFamily("perennial_rounds", "Rounds by state.", labels=["state"])
            for state in sorted({*_ROUND_STATES, *now.rounds}):
                rounds.add_metric([state], now.rounds.get(state, 0))
            yield rounds
