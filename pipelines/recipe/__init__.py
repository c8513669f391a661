"""The recipe: everything about a round but its data, as frozen records; recipe_file.py reads it from YAML."""

import hashlib
import json
from datetime import time
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.recipe.chat import ChatRules
from pipelines.recipe.gates import APART, CORRECTIONS, GUARD_SUITE, HELDOUT, PAIRS, GateRule, Margin, Metric
from pipelines.recipe.section import Section, Share
from pipelines.recipe.training import Batch, EarlyStopping, Kl, Lora, Preference, Stops, Target, Train

__all__ = [
    "APART",
    "Base",
    "Batch",
    "CORRECTIONS",
    "ChatRules",
    "EarlyStopping",
    "Evaluate",
    "Export",
    "Feedback",
    "GUARD_SUITE",
    "GateRule",
    "HELDOUT",
    "Kl",
    "Language",
    "Lora",
    "Margin",
    "Metric",
    "Mixture",
    "Only",
    "PAIRS",
    "PerUser",
    "Phase",
    "Preference",
    "Quantization",
    "Recipe",
    "Schedule",
    "Section",
    "Select",
    "Share",
    "Stops",
    "Target",
    "Train",
]

Quantization = Literal["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"]


class Base(Section):
    """The origin. `model` is a local folder, or a hub id when `hub` is true; then `revision` is a branch, tag or commit.

    `policy` says what it was taught: an `instruct` base needs a chat template, and a `base` that can chat is warned about.
    """

    model: str
    policy: Literal["base", "instruct"] = "instruct"
    hub: bool = False
    revision: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _has_revisions(self) -> "Base":
        if self.revision and not self.hub:
            raise ValueError(
                "`revision` names a version of a model on the hub: add `hub: true`, or leave it out for a local folder"
            )
        return self


class Language(Section):
    """The language of the answers; `max_mixing` is the share of another script that one may hold."""

    primary: str | None = None
    max_mixing: Share = 0.01


class PerUser(Section):
    """What one person may fill: `max_share` of the user part, `max_votes` of all feedback that counts.

    auto = max(0.005, 3 / distinct users), none below 20 users.
    """

    max_share: Literal["auto"] | Share = "auto"
    max_votes: Literal["auto"] | Share = "auto"


class Feedback(Section):
    """Which votes, corrections and comparisons count, before anything is learnt from them.

    Attributes:
        per_app: the share of all feedback that one app may give.
        per_day: how many ratings of one account count per day (UTC); None: no limit.
        min_account_days: feedback waits until its account is this old.
        echo: an answer that only repeats a claim which the prompt supplied is not learnt, and nothing counts for it.
        min_overlap: an account that rated this many items beside others may lose weight by disagreeing with them.
        min_weight: the weight below which an account that disagrees with the crowd is not heard at all.
        cohort_check: retrain without the most influential group of accounts, compare, and report.
    """

    per_app: Share = 1.0
    per_day: int | None = Field(None, ge=1)
    min_account_days: float = Field(0.0, ge=0)
    echo: bool = True
    min_overlap: int = Field(3, ge=1)
    min_weight: Share = 0.25
    cohort_check: bool = False


class Select(Section):
    """`response_tokens` bounds an assistant turn; a turn outside it stays as context without loss.

    With `review: required` nothing is learned from, or measured on, a conversation that no reviewer has seen.
    """

    min_satisfaction: int = Field(4, ge=1, le=5)
    review: Literal["optional", "required"] = "optional"
    response_tokens: tuple[int, int] = (1, 2048)
    language: Language = Language()
    per_user: PerUser = PerUser()
    feedback: Feedback = Feedback()

    @model_validator(mode="after")
    def _fits_an_answer(self) -> "Select":
        shortest, longest = self.response_tokens
        if not 0 <= shortest <= longest:
            raise ValueError(f"response_tokens [{shortest}, {longest}] fits no answer; give [shortest, longest]")
        return self


class Mixture(Section):
    """Shares of assistant tokens; `user` is new + replay. `max_repeats` bounds how often one anchor is drawn.

    Long anchors fill their shares with few examples: `anchor_examples` is the least share of all examples that anchors
    make up together, and more of them are drawn where their tokens would give fewer.
    """

    user: Share
    general: Share = 0.0
    coding: Share = 0.0
    reasoning: Share = 0.0
    max_repeats: int = Field(4, ge=1)
    anchor_examples: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _sums_to_one(self) -> "Mixture":
        total = self.user + self.general + self.coding + self.reasoning
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of user, general, coding and reasoning add up to {total:g}, not to 1")
        if self.user == 0:
            raise ValueError("the share of user must be above 0, or the round learns nothing from its users")
        if self.anchor_examples and self.user == 1:
            raise ValueError(
                "`anchor_examples` asks for anchors, and the shares of general, coding and reasoning are 0"
            )
        return self

    @property
    def anchors(self) -> dict[Literal["general", "coding", "reasoning"], float]:
        """The share of each pool of anchors."""
        return {"general": self.general, "coding": self.coding, "reasoning": self.reasoning}


class Phase(Section):
    """Overrides by the number of promoted rounds of this recipe; `rounds` is inclusive, null is open."""

    name: str
    rounds: tuple[int, int | None]
    min_examples: int = Field(0, ge=0)
    epochs: float | None = Field(None, gt=0)
    learning_rate: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _names_a_round(self) -> "Phase":
        first, last = self.rounds
        if first < 1 or (last is not None and last < first):
            raise ValueError(
                f"the rounds [{first}, {last}] of phase '{self.name}' name none; they count from 1, first to last"
            )
        return self


class Evaluate(Section):
    """`items` per suite (a fixed stratified choice; null = all); `heldout` answers for ROUGE and perplexity."""

    engine: Literal["gguf"] = "gguf"
    suites: tuple[str, ...]
    items: int | None = Field(None, ge=1)
    heldout: int = Field(200, ge=0)
    dev_items: int = Field(100, ge=1)


class Export(Section):
    """`scales` are the adapter scales tried on dev items, of which one is exported (docs/decisions/adapter-scale.md).

    `max_kld` is in nats per token, merged against adapter-on (docs/decisions/gguf-conversion.md has what it tells apart).
    """

    form: Literal["merged", "adapter"] = "merged"
    quantize: Quantization = "Q4_K_M"
    max_kld: float = Field(0.01, gt=0)
    scales: tuple[Annotated[float, Field(gt=0)], ...] = Field((1.0,), min_length=1)


class Only(Section):
    """When a round may run; at other times it waits, or pauses at a checkpoint and goes on later.

    Attributes:
        hours: from when to when, by the clock of the machine that trains; over midnight too.
        power: not on battery.
        cool: not while heat slows the machine down.
    """

    hours: str | None = Field(None, pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
    power: bool = False
    cool: bool = False

    def in_hours(self, moment: time) -> bool:
        """Whether a time of day is within the hours; any is where none are named."""
        if self.hours is None:
            return True
        start, end = (time.fromisoformat(part) for part in self.hours.split("-"))
        return start <= moment < end if start < end else moment >= start or moment < end


class Schedule(Section):
    """When a round is asked for by itself: a crontab line (UTC), and how many new examples make it worth while.

    `only` holds for every round of the recipe, asked for by itself or by somebody.
    """

    cron: str | None = None
    min_new_examples: int = Field(0, ge=0)
    only: Only | None = None


class Recipe(Section):
    """Everything about a round but its data.

    `anchors` is the set that is mixed in and watched by: a name in HOME/anchors, or a folder of the project.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    base: Base
    chat: ChatRules = ChatRules()
    anchors: str | None = Field(None, min_length=1)
    lineage: Literal["from_origin", "sequential"] = "from_origin"
    select: Select = Select()
    mixture: Mixture
    replay: Share = 0.0
    max_tokens_per_round: int | None = Field(None, ge=1)
    min_examples: int = Field(1, ge=1)
    train: Train = Train()
    preference: Preference | None = None
    phases: tuple[Phase, ...] = ()
    evaluate: Evaluate
    gates: tuple[GateRule, ...]
    max_attempts: int = Field(1, ge=1, le=3)
    export: Export = Export()
    promote: Literal["manual", "automatic"] = "manual"
    schedule: Schedule | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        if self.replay and self.lineage != "sequential":
            raise ValueError("`replay` is a share for lineage: sequential only; from_origin uses every replay example")
        if self.train.method == "full" and self.preference is not None and self.preference.method != "none":
            raise ValueError(
                "preferences need an adapter to learn in: use `train.method: lora` or qlora, or leave `preference` out"
            )
        if self.train.lora.dora and (self.export.form == "adapter" or self.export.scales != (1.0,)):
            raise ValueError(
                "`train.lora.dora` is served merged and at scale 1 alone: use `export: {form: merged, scales: [1.0]}`, or leave dora out"
            )
        measured = {*self.evaluate.suites, CORRECTIONS}
        for gate in self.gates:
            if gate.suite not in measured:
                raise ValueError(f"the gate on suite '{gate.suite}' has no scores: add it to evaluate.suites")
        return self

    def phase(self, promoted: int) -> "Recipe":
        """This recipe with the keys of the phase for round number `promoted` + 1 filled in."""
        for phase in self.phases:
            first, last = phase.rounds
            if first <= promoted + 1 and (last is None or promoted + 1 <= last):
                named = {"epochs": phase.epochs, "learning_rate": phase.learning_rate}
                changes = {key: value for key, value in named.items() if value is not None}
                train = self.train.model_copy(update=changes)
                return self.model_copy(update={"train": train, "min_examples": max(1, phase.min_examples)})
        return self

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON, for manifests and caches."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
