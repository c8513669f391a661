"""What training holds in memory at its peak, part by part, and the nearest settings that fit where it is too much.

Rough, and checked against real runs by `python -m bench plan`.
"""

from collections.abc import Callable, Iterator

from pipelines.backends.base import Device, Machine
from pipelines.forecast.model_size import Shape
from pipelines.recipe import Batch, Lora, Train
from pipelines.records import Record

# A process with torch, transformers and trl imported, before any weights.
_LIBRARIES = {"cpu": 620_000_000, "cuda": 500_000_000, "mps": 620_000_000, "mlx": 250_000_000}
_NF4_BYTES = 0.516  # double quantization
_MLX4_BYTES = 0.5625  # 4 bits in groups of 64, embeddings and head as well
_WIRED_SHARE = 0.75  # of a Mac's memory, which macOS lets its GPU hold unless somebody raised it
WIRED_AT_MOST = 0.92  # beyond that macOS itself has too little
SHARED = ("mlx", "mps")  # devices that share the machine's memory
_LEAST_TOKENS = 512
_ROOM = 0.92  # of what may be held: settings that are offered shall fit although this is reckoned
_LOGIT_COPIES = 3  # the logits, their log-softmax, their gradient
_LOGIT_BYTES = {"cuda": 1 << 29}
_LOGIT_BYTES_ELSEWHERE = 1 << 26
_SMALLEST_CHUNK = 16


class TrainingMemory(Record):
    """Bytes of the libraries, the weights, the trained part with gradients and moments, activations, and logits."""

    libraries: int
    weights: int
    trained: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All parts together."""
        return self.libraries + self.weights + self.trained + self.activations + self.logits


class MemoryOutlook(Record):
    """What training needs of a device against what the device may hold, and what to do where that is too much.

    Attributes:
        memory_bytes: of the whole device; `usable_bytes` what of it training may hold.
        measured: a row was trained to see it; None where it is reckoned.
        nearest: settings that would fit, where these do not and some do.
    """

    device: Device
    memory_bytes: int
    usable_bytes: int
    need: TrainingMemory
    measured: int | None = None
    nearest: Train | None = None

    @property
    def bytes(self) -> int:
        """At the peak."""
        return self.need.total if self.measured is None else self.measured

    @property
    def fits(self) -> bool:
        """Whether it is enough."""
        return self.bytes <= self.usable_bytes

    def lines(self) -> list[str]:
        """The outlook as a person reads it: the whole, then its parts."""
        need = self.need
        whole = f"memory    about {size_words(self.bytes)} to train, of {size_words(self.usable_bytes)}"
        if self.usable_bytes != self.memory_bytes:
            whole += f" that the GPU may hold of {size_words(self.memory_bytes)}"
        if self.measured is not None:
            return [f"{whole} (a row was trained to see it)"]
        parts = {
            "weights": need.weights,
            "adapter, gradients and Adam": need.trained,
            "activations": need.activations,
            "logits": need.logits,
            "libraries": need.libraries,
        }
        return [whole, "  " + ", ".join(f"{name} {size_words(size)}" for name, size in parts.items())]


def memory_outlook(
    train: Train, shape: Shape, machine: Machine, longest: int | None = None, measured: int | None = None
) -> MemoryOutlook:
    """What these settings need here; `measured` is the peak of a row that was trained here."""
    need, usable = training_memory(train, shape, machine, longest), usable_bytes(machine)
    too_much = (need.total if measured is None else measured) > usable
    return MemoryOutlook(
        device=machine.device,
        memory_bytes=machine.memory_bytes,
        usable_bytes=usable,
        need=need,
        measured=measured,
        nearest=nearest_fit(train, shape, machine, longest) if too_much else None,
    )


def training_memory(train: Train, shape: Shape, machine: Machine, longest: int | None = None) -> TrainingMemory:
    """The parts of a training's peak.

    Args:
        longest: tokens of the longest example; `train.max_tokens` where that is not known.
    """
    row = row_tokens(train, machine, longest or train.max_tokens)
    wide = _bytes_of_a_number(train, machine)
    four_bits = _MLX4_BYTES if machine.device == "mlx" else _NF4_BYTES
    held: float = {"qlora": four_bits, "lora": wide, "full": 4}[train.method]
    embeddings: float = {"qlora": four_bits if machine.device == "mlx" else wide, "lora": wide, "full": 4}[train.method]
    moments = 2 if machine.device == "cuda" and "8bit" in train.optimizer else 8
    trained = shape.parameters if train.method == "full" else shape.lora_parameters(train.lora.r)
    beside = (4 if train.method != "full" else 0) + 4 + moments
    return TrainingMemory(
        libraries=_LIBRARIES[machine.device],
        weights=int(shape.linear_parameters * held + shape.embedding_parameters * embeddings),
        trained=trained * beside,
        activations=_activations(train, shape, machine, row, wide),
        logits=_logits(shape, machine, row),
    )


def _bytes_of_a_number(train: Train, machine: Machine) -> int:
    """In which weights and activations are held; where precision is timed first, what it usually comes to."""
    if train.precision != "auto":
        return 2 if train.precision == "bfloat16" else 4
    half = machine.device == "mlx" if machine.bf16 is None else machine.bf16
    return 2 if half else 4


def row_tokens(train: Train, machine: Machine, longest: int) -> int:
    """Tokens that one forward holds at most: packed examples, or one that is longer."""
    batch = train.batch.per_device * train.max_tokens
    return batch if machine.row_tokens is None else max(min(batch, machine.row_tokens), min(longest, train.max_tokens))


def usable_bytes(machine: Machine) -> int:
    """What training may hold: the device's memory, on a Mac the part of it that the GPU may hold."""
    if machine.limit_bytes is not None:
        return machine.limit_bytes
    return int(_WIRED_SHARE * machine.memory_bytes) if machine.device in SHARED else machine.memory_bytes


def nearest_fit(train: Train, shape: Shape, machine: Machine, longest: int | None = None) -> Train | None:
    """Settings that fit and change as little as they can: rows at once, then 4 bits, rank, length; None if none do.

    A step reads as many examples as before. Changes that turn out not to be needed are taken back.
    """

    def fits(settings: Train) -> bool:
        return training_memory(settings, shape, machine, longest).total <= _ROOM * usable_bytes(machine)

    changes: list[Callable[[Train], Train]] = []
    settings = train
    for change in _changes(train, machine):
        if fits(settings):
            break
        changes, settings = [*changes, change], change(settings)
    if not fits(settings):
        return None
    for change in list(changes):
        others = [one for one in changes if one is not change]
        if fits(_applied(train, others)):
            changes = others
    return _applied(train, changes)


def _applied(train: Train, changes: list[Callable[[Train], Train]]) -> Train:
    for change in changes:
        train = change(train)
    return train


def _changes(train: Train, machine: Machine) -> Iterator[Callable[[Train], Train]]:
    """Ways to need less, each with the least lost first."""
    rows = train.batch.per_device
    while rows > 1:
        rows = rows // 2
        yield lambda now, rows=rows: now.model_copy(update={"batch": _batch(train, rows)})  # type: ignore[misc]
    if train.method == "lora" and "qlora" not in machine.refuses:
        yield lambda now: now.model_copy(update={"method": "qlora"})
    rank = train.lora.r
    while train.method != "full" and rank > 8:
        rank = max(8, rank // 2)
        yield lambda now, rank=rank: now.model_copy(update={"lora": _ranked(train, rank)})  # type: ignore[misc]
    tokens = train.max_tokens
    while tokens > _LEAST_TOKENS:
        tokens = max(_LEAST_TOKENS, tokens // 2)
        yield lambda now, tokens=tokens: now.model_copy(update={"max_tokens": tokens})  # type: ignore[misc]


def _batch(train: Train, rows: int) -> Batch:
    return Batch(per_device=rows, accumulate=-(-train.batch.per_device * train.batch.accumulate // rows))


def _ranked(train: Train, rank: int) -> Lora:
    return train.lora.model_copy(update={"r": rank, "alpha": train.lora.alpha * rank / train.lora.r})


def _activations(train: Train, shape: Shape, machine: Machine, row: int, wide: int) -> int:
    """What the backward pass needs of each layer; of one layer and its inputs where activations are computed again."""
    layer = (
        row * (shape.hidden * 10 + (shape.heads + 2 * shape.kv_heads) * shape.head * 2 + shape.intermediate * 5) * wide
    )
    if shape.parameters >= machine.checkpointing_from:
        return row * shape.hidden * wide * shape.layers + layer
    return layer * shape.layers


def _logits(shape: Shape, machine: Machine, row: int) -> int:
    """The vocabulary's logits of the answer tokens that are looked at together."""
    most = _LOGIT_BYTES.get(machine.device, _LOGIT_BYTES_ELSEWHERE) // (4 * shape.vocabulary)
    return min(row, max(_SMALLEST_CHUNK, most)) * shape.vocabulary * 4 * _LOGIT_COPIES


def size_words(number: int) -> str:
    """A number of bytes as people say it."""
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"
