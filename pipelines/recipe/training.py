"""How a round trains: on examples, then on preferences."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.recipe.section import Section, Share

Target = Literal["all-linear"] | tuple[str, ...]


class Lora(Section):
    """The adapter: its rank, scale (alpha / r), dropout, and the modules that get one.

    `dora` learns the length of every row of the weights as well (arXiv:2402.09353); it is served merged alone.
    """

    r: int = Field(16, ge=1)
    alpha: float = Field(32, gt=0)
    dropout: Share = 0.05
    target: Target = "all-linear"
    dora: bool = False


class Batch(Section):
    """Examples in memory at once, and how often that many make one step."""

    per_device: int = Field(1, ge=1)
    accumulate: int = Field(16, ge=1)


class EarlyStopping(Section):
    """Ends training when dev loss has not fallen by `threshold` for `patience` looks."""

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


# What `learning_rate: auto` keeps to: DPO-QLoRA's of long runs, and what SFT takes for LoRA.
LOWEST_PREFERENCE_RATE, HIGHEST_PREFERENCE_RATE = 5e-6, 2e-4


class Preference(Section):
    """Learning from thumbs after SFT; SCIENCE section 2 has the defaults' sources.

    Attributes:
        method: auto takes DPO from `min_pairs` real pairs on, nothing below `min_downs` bad or `min_ups` good answers,
            else KTO, or BCO where good and bad answers come from different topics (total variation above
            `max_topic_shift`). A named method is taken wherever there is something for it to read.
        beta: strength of the tie to the SFT result.
        nll_weight: weight of the SFT term on chosen and good answers (RPO); without it KTO left 0 to 47 % of preferred
            answers word for word where 70 % were before (docs/decisions/preference-trainer.md).
        anchors: anchor tokens per answer token that go along; every anchor family of the mixture takes part.
        desirable, undesirable: weights of good and bad answers; auto balances them by count.
        learning_rate: auto is `travel` / steps, 5e-6 to 2e-4: ten steps at 5e-6 teach nothing, a thousand at 2e-4 too much.
        travel: rate x steps that a run with `learning_rate: auto` makes (docs/decisions/preference-rate.md).
        max_boost: how many times as much one answer of the rarer label may count as one of the other, readings times
            weight, whatever the balance asks; figures given for both weights stay (docs/decisions/rare-labels.md).
        evaluate_every: how many steps apart the stop rules look; auto looks at least eight times a run.
        probes: how many frozen prompts of each kind the stop rules look at.
    """

    method: Literal["auto", "dpo", "kto", "bco", "none"] = "auto"
    min_pairs: int = Field(1000, ge=1)
    min_downs: int = Field(200, ge=0)
    min_ups: int = Field(100, ge=0)
    max_topic_shift: Share = 0.25
    beta: float = Field(0.1, gt=0)
    nll_weight: float = Field(1.0, ge=0)
    anchors: float = Field(1.0, ge=0)
    desirable: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    undesirable: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    max_boost: float = Field(10.0, ge=1)
    learning_rate: Literal["auto"] | Annotated[float, Field(gt=0)] = "auto"
    travel: float = Field(2.5e-3, gt=0)
    scheduler: Literal["cosine", "linear", "constant", "cosine_with_min_lr"] = "cosine"
    warmup: float = Field(0.1, ge=0)
    epochs: float = Field(1, gt=0)
    batch: Batch = Batch(per_device=8, accumulate=4)
    evaluate_every: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    save_every: int = Field(50, ge=1)
    probes: int = Field(100, ge=1)
    stops: Stops = Stops()

    def rate(self, steps: int) -> float:
        """The learning rate of a run of so many steps."""
        if self.learning_rate != "auto":
            return self.learning_rate
        return min(max(self.travel / max(1, steps), LOWEST_PREFERENCE_RATE), HIGHEST_PREFERENCE_RATE)

    @model_validator(mode="after")
    def _fits_both_labels(self) -> "Preference":
        if self.method not in ("dpo", "none") and self.batch.per_device * self.batch.accumulate < 2:
            raise ValueError(
                f"`method: {self.method}` may read good and bad answers, both in every step: a batch of 1 has no room for them; "
                "raise batch.per_device"
            )
        return self
