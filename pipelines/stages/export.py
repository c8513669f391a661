"""The export stage: base and adapter in, the exact bytes that are gated and served out.

    base + adapter -> float GGUF (streamed) -> quantized GGUF (tensor types checked) -> smoke test -> agreement

In its folder: `model.gguf`, or `base.gguf` and `adapter.gguf` for a form that keeps the adapter apart.
"""

import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from pipelines.errors import GGUFError
from pipelines.gguf.adapter import convert_adapter
from pipelines.gguf.check import check_adapter, smoke_test
from pipelines.gguf.convert import TrainedOn, convert
from pipelines.gguf.quantize import Quantization, QuantizeReport, quantize
from pipelines.gguf.runtime import usable_cores
from pipelines.isolated import run_in_child
from pipelines.records import Record, ServedForm

_AGREEMENT_SECONDS = 4 * 3600.0
_MEMORY_SHARE = 0.7


class ExportConfig(Record):
    """How to export. `scale` multiplies the adapter; `max_kld` is in nats per token, merged against adapter-on."""

    form: Literal["merged", "adapter"] = "merged"
    quantize: Quantization = "Q4_K_M"
    max_kld: float = Field(default=0.01, gt=0.0)
    scale: float = 1.0
    trained_on: TrainedOn = "full"


class Agreement(Record):
    """How well the export says what was trained, on the next token after each of some prompts.

    `top1` and `kld` compare merged float weights with adapter-on, at the last positions of each prompt;
    `served_top1` compares the quantized GGUF in llama.cpp with adapter-on at the last position.
    """

    prompts: int
    positions: int
    top1: float
    kld: float
    served_top1: float


class ExportOutput(Record):
    """The served form, with paths relative to the stage's folder, and what making it took."""

    form: ServedForm
    merged_onto: TrainedOn
    tensor_types: Mapping[str, int]
    merged_tensors: int
    size_bytes: int
    agreement: Agreement | None
    seconds: float
    note: str = ""

    def form_in(self, folder: Path) -> ServedForm:
        """The form with its paths inside the stage's folder as it is called now."""
        beside = self.form.adapter_path
        paths = {"path": str(folder / self.form.path), "adapter_path": str(folder / beside) if beside else None}
        return self.form.model_copy(update=paths)


def export(
    base: Path, adapter: Path | None, out: Path, config: ExportConfig, *, prompts: Sequence[str] = ()
) -> ExportOutput:
    """Make the served form of `base` with `adapter` (None: of the base alone) in the folder `out`.

    `prompts` are rendered chats to measure agreement on; without any it is not measured. If merging onto the full
    weights would stray more than `max_kld` from what was trained on NF4, it merges onto the dequantized weights.

    Raises:
        ModelError, GGUFError, ArtifactError: one sentence each, and nothing half-written stays behind.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    note = _too_large(base) if prompts else "agreement was not measured: no prompts were given"
    trained = None if note else _agreement(base, adapter, config, prompts)
    made = _make(base, adapter, out, config, trained.merged_onto if trained else "full")
    form = made.form_in(out)
    smoke_test(form)
    agreement = _served(trained, form, prompts) if trained else None
    seconds = time.monotonic() - started
    return made.model_copy(update={"agreement": agreement, "seconds": seconds, "note": note})


def served_tokens(arguments: dict[str, object]) -> dict[str, object]:
    """The greedy next token of a served form after each prompt; runs in a child process."""
    from pipelines.gguf.session import Session

    request = _ServedRequest.model_validate(arguments)
    with Session(request.form) as session:
        found = []
        for prompt in request.prompts:
            tokens = session.tokenize(prompt)
            session.grow(len(tokens))
            found.append(int(session.read(tokens).argmax()))
    return {"tokens": found}


class _ServedRequest(Record):
    form: ServedForm
    prompts: tuple[str, ...]


class _Trained(Record):
    """What pipelines.gguf.agreement found."""

    merged_onto: TrainedOn
    positions: int
    top1: float
    kld: float
    tokens: tuple[int, ...]


def _too_large(base: Path) -> str:
    """Why agreement cannot be measured here: torch needs the whole model in memory, merging does not."""
    needed = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed < present * _MEMORY_SHARE:
        return ""
    return f"agreement was not measured: {needed >> 30} GB of weights are too many for {present >> 30} GB of memory"


def _agreement(base: Path, adapter: Path | None, config: ExportConfig, prompts: Sequence[str]) -> _Trained:
    """How the merge will agree with adapter-on, and onto which weights it must go for that."""
    request = {
        "base": str(base),
        "adapter": str(adapter) if adapter else None,
        "scale": config.scale,
        "trained_on": config.trained_on,
        "merge_onto": ["full", "nf4"] if config.trained_on == "nf4" else ["full"],
        "max_kld": config.max_kld,
        "prompts": list(prompts),
    }
    answer = run_in_child(
        "pipelines.gguf.agreement:measure_in_this_process", request, timeout_seconds=_AGREEMENT_SECONDS
    )
    trained = _Trained.model_validate(answer)
    if not trained.kld <= config.max_kld:
        raise GGUFError(
            f"the merged model would stray {trained.kld:.2g} nats per token from the trained one, more than max_kld "
            f"{config.max_kld}; was the adapter trained on other weights than {base.name}?"
        )
    return trained


def _make(base: Path, adapter: Path | None, out: Path, config: ExportConfig, merge_onto: TrainedOn) -> ExportOutput:
    if adapter is not None and config.form == "adapter":
        return _make_apart(base, adapter, out, config, merge_onto)
    merged, made = _quantized(base, adapter, out / "model.gguf", config, merge_onto)
    form = ServedForm(kind="merged", path="model.gguf", sha256=made.sha256, quantization=config.quantize)
    return _output(form, made, merge_onto, merged, made.size_bytes)


def _make_apart(base: Path, adapter: Path, out: Path, config: ExportConfig, merge_onto: TrainedOn) -> ExportOutput:
    """The base quantized alone, the adapter beside it."""
    _, made = _quantized(base, None, out / "base.gguf", config, merge_onto)
    converted = convert_adapter(base, adapter, out / "adapter.gguf")
    check_adapter(made.path, converted.path)
    form = ServedForm(
        kind="adapter",
        path="base.gguf",
        sha256=made.sha256,
        adapter_path="adapter.gguf",
        adapter_sha256=converted.sha256,
        scale=config.scale,
        quantization=config.quantize,
    )
    return _output(form, made, merge_onto, 0, made.size_bytes + converted.size_bytes)


def _quantized(
    base: Path, adapter: Path | None, out: Path, config: ExportConfig, merge_onto: TrainedOn
) -> tuple[int, QuantizeReport]:
    """How many tensors were merged, and the quantized file; the float file between is removed."""
    between = out.with_suffix(".float.gguf")
    convert_as = partial(convert, base, between, adapter=adapter, scale=config.scale, trained_on=merge_onto)
    try:
        try:
            made = convert_as(ftype="f16")
        except GGUFError:  # a weight beyond float16's range
            made = convert_as(ftype="bf16")
        return made.merged, quantize(between, out, config.quantize, threads=usable_cores())
    finally:
        between.unlink(missing_ok=True)


def _output(
    form: ServedForm, made: QuantizeReport, merge_onto: TrainedOn, merged: int, size_bytes: int
) -> ExportOutput:
    return ExportOutput(
        form=form,
        merged_onto=merge_onto,
        tensor_types=made.types,
        merged_tensors=merged,
        size_bytes=size_bytes,
        agreement=None,
        seconds=0.0,
    )


def _served(trained: _Trained, form: ServedForm, prompts: Sequence[str]) -> Agreement:
    """Complete the agreement with what the quantized form says in llama.cpp."""
    request = {"form": form.model_dump(), "prompts": list(prompts)}
    answer = run_in_child("pipelines.stages.export:served_tokens", request, timeout_seconds=_AGREEMENT_SECONDS)
    same = sum(ours == theirs for ours, theirs in zip(answer["tokens"], trained.tokens, strict=True))
    return Agreement(
        prompts=len(prompts),
        positions=trained.positions,
        top1=trained.top1,
        kld=trained.kld,
        served_top1=same / len(prompts),
    )
