"""What a round would be, and how a person reads it."""

from collections.abc import Iterator, Mapping

from pipelines.curate.reasons import Altered
from pipelines.feedback.reasons import CONVERSATION_REASONS
from pipelines.forecast.hours import GROUNDS, StageTime, span
from pipelines.forecast.memory import MemoryOutlook, size_words
from pipelines.forecast.model_size import count_words
from pipelines.forecast.preference import PreferencePlan
from pipelines.gate.outlook import GateOutlook, outlook_lines
from pipelines.mixture.anchors import ANCHOR_NAMES
from pipelines.records import Record

REFUSED = "the round would be refused: "


class Plan(Record):
    """What a round would be. Bytes and parameters are None when the model's size cannot be told."""

    recipe: str
    examples: Mapping[str, int]
    tokens: Mapping[str, int]
    batch: int
    steps: int
    epochs: float
    warmup_steps: int
    evaluations: int
    parameters: int | None
    trained_parameters: int | None
    memory: MemoryOutlook | None
    disk_bytes: int | None
    free_bytes: int | None
    warnings: tuple[str, ...]
    preference: PreferencePlan | None = None
    left_out: Mapping[str, int] = {}
    altered: Altered = Altered()
    gates: tuple[GateOutlook, ...] = ()
    device: str = ""
    times: tuple[StageTime, ...] = ()
    untimed: str = ""

    @property
    def seconds(self) -> float:
        """How long the whole round takes; 0 where that cannot be said."""
        return sum(time.seconds for time in self.times)

    @property
    def refused(self) -> bool:
        """Whether the round would not start."""
        return any(warning.startswith(REFUSED) for warning in self.warnings)

    def anchor_share(self, of: Mapping[str, int]) -> float:
        """The share of anchors of the examples, or of the tokens."""
        whole = sum(of.values())
        return sum(of.get(name, 0) for name in ANCHOR_NAMES) / whole if whole else 0.0

    def lines(self) -> list[str]:
        """The forecast as a person reads it."""
        total, tokens = sum(self.examples.values()), sum(self.tokens.values())
        lines = [
            f"recipe    {self.recipe}",
            f"examples  {total} an epoch: "
            + ", ".join(f"{name} {n}" for name, n in self.examples.items())
            + f"; {100 * self.anchor_share(self.examples):.0f} % of them anchors",
            f"tokens    {tokens} an epoch that get loss: "
            + ", ".join(f"{name} {n}" for name, n in self.tokens.items())
            + f"; {100 * self.anchor_share(self.tokens):.0f} % of anchors",
            f"steps     {self.steps}: {self.epochs:g} epochs, {self.batch} examples a step, {self.warmup_steps} of warm-up, "
            f"{self.evaluations} evaluations on dev",
        ]
        if self.parameters and self.trained_parameters and self.disk_bytes:
            share = 100 * self.trained_parameters / self.parameters
            lines += [
                f"model     {count_words(self.parameters)} parameters, {count_words(self.trained_parameters)} trained ({share:.2g} %)",
                f"disk      about {size_words(self.disk_bytes)} while it runs"
                + ("" if self.free_bytes is None else f", of {size_words(self.free_bytes)} free"),
            ]
        lines += [f"device    {self.device}"] if self.device else []
        lines += self.memory.lines() if self.memory else []
        lines += self._times()
        lines += [self.preference.line()] if self.preference else []
        lines += outlook_lines(self.gates)
        if self.left_out:
            lines.append(f"left out  {sum(self.left_out.values())} conversations cannot train now:")
        for reason, count in sorted(self.left_out.items(), key=lambda pair: -pair[1]):
            sentence = CONVERSATION_REASONS.get(reason)
            lines.append(f"  {count} {reason}" + (f": {sentence}" if sentence else ""))
        lines += [f"changed   {self.altered.sentence}"] if self.altered.changed else []
        return lines + [f"warning   {warning}" for warning in self.warnings]

    def _times(self) -> Iterator[str]:
        """The round in all, then stage by stage."""
        if not self.times:
            yield from [f"time      {self.untimed}"] if self.untimed else []
            return
        yield f"time      about {span(self.seconds)} in all" + (f"; {self.untimed}" if self.untimed else "")
        for time in self.times:
            yield f"  {time.name:<9} {span(time.seconds):>7}  {GROUNDS[time.ground]}"
