"""The recipe: everything about a round but its data, as frozen records; recipe_file.py reads it from YAML."""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

GUARD_SUITE = "language"

Share = Annotated[float, Field(ge=0, le=1)]
Target = Literal["all-linear"] | tuple[str, ...]
Quantization = Literal["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16"]
Points = Annotated[float, Field(gt=0, le=100)]
Metric = Literal["acc", "exact_match", "rouge1", "rouge2", "rougeL", "perplexity"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Base(Section):
    """The origin. `model` is a local folder, or a hub id when `hub` is true.

    `policy` says what it was taught: an `instruct` base needs a chat template, and a `base` that can chat is warned about.
    """

    model: str
    policy: Literal["base", "instruct"] = "instruct"
    hub: bool = False


class Language(Section):
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
    """`response_tokens` bounds an assistant turn; a turn outside it stays as context without loss."""

    min_satisfaction: int = Field(4, ge=1, le=5)
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
    """Shares of assistant tokens; `user` is new + replay. `max_repeats` bounds how often one anchor is drawn."""

    user: Share
    general: Share = 0.0
    coding: Share = 0.0
    reasoning: Share = 0.0
    max_repeats: int = Field(4, ge=1)

    @model_validator(mode="after")
    def _sums_to_one(self) -> "Mixture":
        total = self.user + self.general + self.coding + self.reasoning
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares of user, general, coding and reasoning add up to {total:g}, not to 1")
        if self.user == 0:
            raise ValueError("the share of user must be above 0, or the round learns nothing from its users")
        return self

    @property
    def anchors(self) -> dict[Literal["general", "coding", "reasoning"], float]:
        return {"general": self.general, "coding": self.coding, "reasoning": self.reasoning}


class Lora(Section):
    r: int = Field(16, ge=1)
    alpha: float = Field(32, gt=0)
    dropout: Share = 0.05
    target: Target = "all-linear"


class Batch(Section):
    per_device: int = Field(1, ge=1)
    accumulate: int = Field(16, ge=1)


class EarlyStopping(Section):
    patience: int = Field(3, ge=1)
    threshold: float = Field(0.0, ge=0)


class Kl(Section):
    """Weight of KL(origin || adapter) per token on anchor examples; 0 turns it off."""

    weight: float = Field(0.0, ge=0)


class Train(Section):
    """`warmup` below 1 is a share of the steps; `evaluate_every` and `save_every` count steps.

    `precision: auto` times a row in both and takes the faster; a run that must repeat byte for byte names one.
    """

    backend: Literal["auto", "cuda", "mps", "mlx", "cpu"] = "auto"
    method: Literal["qlora", "lora", "full"] = "lora"
    lora: Lora = Lora()
    learning_rate: float = Field(2e-4, gt=0)
    scheduler: Literal["cosine", "linear", "constant", "cosine_with_min_lr"] = "cosine"
    warmup: float = Field(0.05, ge=0)
    epochs: float = Field(2, gt=0)
    batch: Batch = Batch()
    max_tokens: int = Field(2048, ge=16)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    optimizer: Literal["adamw_torch", "paged_adamw_8bit", "adamw_8bit"] = "adamw_torch"
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    evaluate_every: int = Field(50, ge=1)
    save_every: int = Field(100, ge=1)
    early_stopping: EarlyStopping | None = EarlyStopping()
    kl: Kl = Kl()
    seed: int = Field(0, ge=0, lt=2**32)


class Stops(Section):
    """Where preference training stops, against the result of SFT, and what the gate refuses, against the champion.

    Attributes:
        displacement: how far, in nats per answer token, the mean log-probability of preferred answers may fall.
        length: share of the mean answer length before by which it may change, either way.
        length_follows_preferred: answers may also move to the length of the answers that people prefer, and as far beyond.
        kl: nats per token on frozen prompts (anchors kept for dev); decisions/stop-rules.md has what it costs.
        refusal, sycophancy: percentage points by which the shares of refusals and of agreement with a wrong claim may rise.
    """

    displacement: float = Field(0.05, ge=0)
    length: float = Field(0.15, ge=0)
    length_follows_preferred: bool = False
    kl: float = Field(0.2, gt=0)
    refusal: float = Field(2.0, ge=0)
    sycophancy: float = Field(2.0, ge=0)


class Preference(Section):
    """Learning from thumbs after SFT; SCIENCE section 2 has the defaults' sources.

    Attributes:
        method: auto takes DPO from `min_pairs` real pairs on, nothing below `min_downs` bad answers, else KTO, or BCO
            where good and bad answers come from different topics (total variation above `max_topic_shift`).
        beta: strength of the tie to the SFT result.
        nll_weight: weight of the SFT term on chosen and good answers (RPO); without it KTO left 0 to 47 % of preferred
            answers word for word where 70 % were before (docs/decisions/preference-trainer.md).
        anchors: anchor tokens per answer token that go along; every anchor family of the mixture takes part.
        desirable, undesirable: weights of good and bad answers; auto balances them by count.
        evaluate_every: how many steps apart the stop rules look; auto looks at least eight times a run.
        probes: how many frozen prompts of each kind the stop rules look at.
    """

    method: Literal["auto", "dpo", "kto", "bco", "none"] = "auto"
    min_pairs: int = Field(1000, ge=1)
    min_downs: int = Field(200, ge=0)
    max_topic_shift: Share = 0.25
    beta: float = Field(0.1, gt=0)
    nll_weight: float = Field(1.0, ge=0)
    anchors: float = Field(1.0, ge=0)
    desirable: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    undesirable: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    learning_rate: float = Field(5e-6, gt=0)
    scheduler: Literal["cosine", "linear", "constant", "cosine_with_min_lr"] = "cosine"
    warmup: float = Field(0.1, ge=0)
    epochs: float = Field(1, gt=0)
    batch: Batch = Batch(per_device=8, accumulate=4)
    evaluate_every: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    save_every: int = Field(50, ge=1)
    probes: int = Field(100, ge=1)
    stops: Stops = Stops()

    @model_validator(mode="after")
    def _fits_both_labels(self) -> "Preference":
        if self.method not in ("dpo", "none") and self.batch.per_device * self.batch.accumulate < 2:
            raise ValueError(
                f"`method: {self.method}` may read good and bad answers, both in every step: a batch of 1 has no room for them; "
                "raise batch.per_device"
            )
        return self


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


class Margin(Section):
    """How far the candidate may truly lie below each baseline."""

    champion: Points
    origin: Points


class GateRule(Section):
    """One gate on one suite; several criteria hold together. All figures are percentage points.

    Attributes:
        metric: which of the suite's metrics; None takes the suite's own (rougeL for `heldout`).
        margin: non-inferiority against the champion and, cumulatively, against the origin.
        floor_below_origin: fails a candidate whose score lies further below the measured origin, and surely below it;
            one that is not surely below it is inconclusive.
        floor: absolute score from 0 to 100; a measured origin that misses it stops the round before training.
        min_gain: superiority; the lower bound of the gain must exceed it. Negative values ask for non-inferiority.
    """

    suite: str
    metric: Metric | None = None
    margin: Margin | None = None
    floor_below_origin: Annotated[float, Field(ge=0, le=100)] | None = None
    floor: Annotated[float, Field(ge=0, le=100)] | None = None
    min_gain: Annotated[float, Field(ge=-100, le=100)] | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> "GateRule":
        asked = (self.margin, self.floor_below_origin, self.floor, self.min_gain)
        if self.suite != GUARD_SUITE and all(value is None for value in asked):
            raise ValueError(
                f"the gate on suite '{self.suite}' asks for nothing: give margin, floor_below_origin, floor or min_gain"
            )
        if self.floor is not None and self.metric == "perplexity":
            raise ValueError(
                "a floor is a score from 0 to 100, which perplexity is not; give a margin against the origin"
            )
        if self.min_gain is not None and self.suite != "heldout":
            raise ValueError(f"min_gain is for the suite 'heldout' only, not for '{self.suite}'")
        return self


class Export(Section):
    """`scales` are the adapter scales tried on dev items; the best one is merged.

    `max_kld` is in nats per token, merged against adapter-on (docs/decisions/gguf-conversion.md has what it tells apart).
    """

    form: Literal["merged", "adapter"] = "merged"
    quantize: Quantization = "Q4_K_M"
    max_kld: float = Field(0.01, gt=0)
    scales: tuple[Annotated[float, Field(gt=0)], ...] = Field((1.0,), min_length=1)


class Schedule(Section):
    cron: str
    min_new_examples: int = Field(0, ge=0)


class Recipe(Section):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    base: Base
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
        measured = set(self.evaluate.suites)
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
