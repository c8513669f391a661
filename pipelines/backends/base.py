"""What a training backend is given and gives back. Backends run in a child process of their own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import Field

from pipelines.errors import TrainingError
from pipelines.recipe import ChatRules, Preference, Train
from pipelines.records import Record
from pipelines.suites.probes import Probe

BackendName = Literal["auto", "cuda", "mps", "mlx", "cpu"]
Device = Literal["cuda", "mps", "mlx", "cpu"]


class Machine(Record):
    """What a backend trains on here.

    Attributes:
        memory_bytes: of the GPU, or of the whole machine where weights share it.
        bf16: whether it trains in bfloat16; None where every run times a row in both first.
        row_tokens: how many tokens one packed forward holds at most; None for as many as a batch has.
        checkpointing_from: parameters from which activations are computed again instead of kept.
        refuses: methods that cannot train here, each with the sentence that says why and what to do.
        limit_bytes: what of a shared memory the GPU may hold, where somebody set it.
        why: why this device, in words; empty where the recipe names it.
    """

    device: Device
    memory_bytes: int
    bf16: bool | None
    row_tokens: int | None
    checkpointing_from: int
    refuses: Mapping[str, str] = {}
    limit_bytes: int | None = None
    why: str = ""

    def require(self, train: Train) -> None:
        """Raise TrainingError if these settings cannot train here."""
        if train.method in self.refuses:
            raise TrainingError(self.refuses[train.method])


class TrainRequest(Record):
    """One training run.

    Attributes:
        base: local folder of the weights to train on top of.
        base_name: what the adapter says it was trained on: the recipe's `base.model`.
        chat: how the model is shown a chat.
        train_file, dev_file: JSONL of `Example`s; without a dev file there is no early stopping.
        threads: CPU threads; None takes all cores, at most 16.
    """

    base: Path
    base_name: str
    chat: ChatRules = ChatRules()
    train: Train
    train_file: Path
    dev_file: Path | None = None
    threads: int | None = None


class CalibrateRequest(Record):
    """What is to be timed: training on `base` with these settings.

    Attributes:
        asked_at: when the child was asked (seconds since the epoch), to count how long it takes to begin.
        processor: whether seconds are of the processor instead of the clock, for machines with other work.
        threads: CPU threads; None takes what training would take.
    """

    base: Path
    train: Train
    asked_at: float
    processor: bool = False
    threads: int | None = None


class Pace(Record):
    """What training costs on a machine, in seconds: of a step, of a row in it, of a token, and of a token with loss.

    Attributes:
        row_tokens: how many tokens share a row at most.
        start: from the start of the process to the first step.
        anchor: how many times as long a row takes whose distance from the origin gets loss too.
        read: a token that is only read, without gradient.
        memory_bytes: at the peak of the timing, which trains a whole row.
    """

    device: Device
    precision: Literal["float32", "bfloat16"]
    threads: int
    row_tokens: int
    start: float
    step: float
    row: float
    token: float
    trained: float
    anchor: float
    read: float
    memory_bytes: int


class TrainOutput(Record):
    """What a run left in its folder. `weights` is a PEFT adapter, or a whole model when `kind` is full.

    `trained_on` says what stood under the adapter: the base as it is, or its matrices after NF4 or MLX's 4 bits, whose parameters
    `rounding` has. Tokens are of everything read, `trained_tokens` of what got loss, both summed over the epochs that ran. Losses are
    nats per trained token. `left_out` counts training examples by reason, `truncated` those that were cut.
    """

    kind: Literal["adapter", "full"]
    trained_on: Literal["full", "nf4", "mlx4"]
    rounding: Mapping[str, int] = {}
    weights: str
    loss_history: str
    metrics: str
    steps: int
    planned_steps: int
    stopped_early: bool
    examples: int
    dev_examples: int
    truncated: int
    left_out: Mapping[str, int]
    tokens: int
    trained_tokens: int
    tokens_per_second: float
    seconds: float
    peak_memory_bytes: int
    first_loss: float
    last_loss: float
    best_dev_loss: float | None
    best_step: int | None
    precision: Literal["float32", "bfloat16"]
    choices: Mapping[str, str]


class PreferRequest(Record):
    """One preference training run on top of an SFT adapter, which is the reference.

    Attributes:
        train: the recipe's SFT settings: backend, method (lora or qlora), max_tokens, optimizer and seed hold here too.
        method: the loss; `auto` has been decided before.
        adapter: PEFT folder of the SFT result.
        train_file, dev_file: JSONL of `PreferenceExample`s.
        anchors_file: JSONL of `Example`s that go along with their SFT loss, None for none.
        frozen_file: JSONL of `Example`s (anchors kept for dev) on which KL and refusals are watched.
        claims_file: JSONL of sycophancy prompts (pipelines.suites.probes), None for none.
    """

    base: Path
    base_name: str
    chat: ChatRules = ChatRules()
    train: Train
    preference: Preference
    method: Literal["dpo", "kto", "bco"]
    adapter: Path
    train_file: Path
    dev_file: Path | None = None
    anchors_file: Path | None = None
    frozen_file: Path | None = None
    claims_file: Path | None = None
    threads: int | None = None


class PreferOutput(Record):
    """What a preference run left in its folder; `weights` is a PEFT adapter, the SFT one where a rule stopped at once.

    `stopped_by` is the sentence of the stop rule that ended it, `kept_step` the step whose weights were kept (0: the
    reference's). `pairs` were trained as pairs (DPO), `good` and `bad` as answers of their own (KTO and BCO: a pair is one
    of each). `left_out` counts training examples by reason. `dev_before` and `dev_after` are shares of dev pairs whose chosen answer is the likelier one,
    `probe_before` and `probe_after` what the stop rules saw of the reference and of the kept weights; the file `dev` has the
    log-probabilities of every dev answer under both.
    """

    method: Literal["dpo", "kto", "bco"]
    weights: str
    history: str
    metrics: str
    steps: int
    planned_steps: int
    kept_step: int
    stopped_by: str | None
    pairs: int
    good: int
    bad: int
    left_out: Mapping[str, int]
    anchors: int
    tokens: int
    seconds: float
    tokens_per_second: float
    peak_memory_bytes: int
    first_loss: float
    last_loss: float
    dev: str = "preference_dev.csv"
    dev_before: float | None
    dev_after: float | None
    probe_before: Probe = Probe()
    probe_after: Probe = Probe()
    desirable: float
    undesirable: float
    precision: Literal["float32", "bfloat16"]
    choices: Mapping[str, str]


class TrainJob(Record):
    """What the child process is asked to do, told apart by `kind`."""

    kind: Literal["train"] = "train"
    request: TrainRequest


class PreferJob(Record):
    """What the child of a preference training is asked."""

    kind: Literal["prefer"] = "prefer"
    request: PreferRequest


Job = Annotated[TrainJob | PreferJob, Field(discriminator="kind")]


class Backend(Protocol):
    """A training backend. Training may take hours, resumes from what it finds in `out`, and raises PerennialErrors."""

    def machine(self, device: BackendName) -> Machine:
        """What it trains on here when a recipe says `backend: device`. Raises TrainingError if that is not here."""
        ...

    def calibrate(self, request: CalibrateRequest) -> Pace:
        """What training with these settings costs here, from a few rows; nothing is kept."""
        ...

    def train(self, request: TrainRequest, out: Path) -> TrainOutput:
        """Train an adapter or a model into `out`, going on from what a killed run left there."""
        ...

    def prefer(self, request: PreferRequest, out: Path) -> PreferOutput:
        """Train an adapter on preferences into `out`, going on from what a killed run left there."""
        ...
