"""One served form: base and adapter in, the exact bytes that are gated and served out.

    base + adapter -> float GGUF (streamed) -> quantized GGUF (tensor types checked) -> smoke test -> agreement, change

The body of an export, for its child process: it needs torch.
"""

import os
import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.errors import ChildTimedOut, GGUFError, ModelError
from pipelines.gguf.adapter import convert_adapter
from pipelines.gguf.check import check_adapter, smoke_test
from pipelines.gguf.convert import TrainedOn, convert
from pipelines.gguf.quantize import QuantizeReport, quantize
from pipelines.gguf.runtime import usable_cores
from pipelines.isolated import run_in_child
from pipelines.records import Record, ServedForm
from pipelines.stages.export.change import count_modules, measure_change
from pipelines.stages.export.form import Agreement, Exported, ExportRequest
from pipelines.tokenizer import read_chat_format

_AGREEMENT_SECONDS = 3600.0
_MEMORY_SHARE = 0.7


def export_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """`export` for pipelines.isolated."""
    return export(ExportRequest.model_validate(arguments)).model_dump(mode="json")


def convert_adapter_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """An adapter as a GGUF of its own, for every scale; its path and sha256."""
    converted = convert_adapter(Path(arguments["base"]), Path(arguments["adapter"]), Path(arguments["out"]))
    return {"path": str(converted.path), "sha256": converted.sha256}


def export(request: ExportRequest) -> Exported:
    """Make the served form that is asked for. If merging onto the full weights would stray more than `max_kld` from
    what was trained on 4 bits, it merges onto the dequantized weights.

    Raises:
        ModelError, GGUFError, ArtifactError: one sentence each, and nothing half-written stays behind.
    """
    started = time.monotonic()
    request.out.mkdir(parents=True, exist_ok=True)
    modules = count_modules(request.base, request.adapter, request.scale, request.target)
    note = _too_large(request.base) if request.prompts else "agreement was not measured: no prompts were given"
    trained = agreement = None
    try:
        trained = None if note else _agreement(request)
    except ChildTimedOut:
        note = _too_long()
    exported = _make(request, trained.merged_onto if trained else "full")
    form = exported.form_in(request.out)
    smoke_test(form)
    try:
        agreement = _served(trained, form, request.prompts) if trained else None
    except ChildTimedOut:
        note = _too_long()
    facts = {
        "agreement": agreement,
        "change": measure_change(form, request.origin, modules) if request.origin else None,
        "note": note,
    }
    return exported.model_copy(update=facts | {"seconds": time.monotonic() - started})


def served_tokens(arguments: dict[str, object]) -> dict[str, object]:
    """The greedy next token of a served form after each prompt; runs in a child process."""
    from pipelines.gguf.session import Session

    request = _ServedRequest.model_validate(arguments)
    with Session(request.form) as session:
        likeliest = []
        for prompt in request.prompts:
            tokens = session.tokenize(prompt)
            session.grow(len(tokens))
            likeliest.append(int(session.read(tokens).argmax()))
    return {"tokens": likeliest}


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


def _too_long() -> str:
    return f"agreement was not measured: it took longer than {_AGREEMENT_SECONDS:g} s and was stopped"


def _agreement(request: ExportRequest) -> _Trained:
    """How the merge will agree with adapter-on, and onto which weights it must go for that."""
    max_kld = request.settings.max_kld
    arguments = {
        "base": str(request.base),
        "adapter": str(request.adapter) if request.adapter else None,
        "scale": request.scale,
        "trained_on": request.trained_on,
        "merge_onto": list(dict.fromkeys(("full", request.trained_on))),
        "max_kld": max_kld,
        "prompts": list(request.prompts),
        "progress": str(request.progress) if request.progress else None,
    }
    answer = run_in_child(
        "pipelines.gguf.agreement:measure_in_this_process", arguments, timeout_seconds=_AGREEMENT_SECONDS
    )
    trained = _Trained.model_validate(answer)
    if not trained.kld <= max_kld:
        raise GGUFError(
            f"the merged model would stray {trained.kld:.2g} nats per token from the trained one, more than max_kld "
            f"{max_kld}; was the adapter trained on other weights than {request.base.name}?"
        )
    return trained


def _make(request: ExportRequest, merge_onto: TrainedOn) -> Exported:
    if request.adapter is not None and request.settings.form == "adapter":
        return _make_apart(request, request.adapter, merge_onto)
    quantized = _quantized(request, request.adapter, "model.gguf", merge_onto)
    form = ServedForm(kind="merged", path="model.gguf", sha256=quantized.sha256, quantization=request.settings.quantize)
    return _exported(request, form, quantized, merge_onto, quantized.size_bytes)


def _make_apart(request: ExportRequest, adapter: Path, merge_onto: TrainedOn) -> Exported:
    """The base quantized alone, the adapter beside it."""
    quantized = _quantized(request, None, "base.gguf", merge_onto)
    converted = convert_adapter(request.base, adapter, request.out / "adapter.gguf")
    check_adapter(quantized.path, converted.path)
    form = ServedForm(
        kind="adapter",
        path="base.gguf",
        sha256=quantized.sha256,
        adapter_path="adapter.gguf",
        adapter_sha256=converted.sha256,
        scale=request.scale,
        quantization=request.settings.quantize,
    )
    return _exported(request, form, quantized, merge_onto, quantized.size_bytes + converted.size_bytes)


def _quantized(request: ExportRequest, adapter: Path | None, name: str, merge_onto: TrainedOn) -> QuantizeReport:
    """The quantized file; the float file between is removed."""
    out = request.out / name
    between = out.with_suffix(".float.gguf")
    base = _with_switch(request)
    convert_as = partial(convert, base, between, adapter=adapter, scale=request.scale, trained_on=merge_onto)
    try:
        try:
            convert_as(ftype="f16")
        except GGUFError:  # a weight beyond float16's range
            convert_as(ftype="bf16")
        return quantize(between, out, request.settings.quantize, threads=usable_cores())
    finally:
        between.unlink(missing_ok=True)
        if base != request.base:
            shutil.rmtree(base)


def _with_switch(request: ExportRequest) -> Path:
    """The base, or links to its files beside a template whose thinking switch is fixed: converters read it from there."""
    if request.thinking is None:
        return request.base
    template = read_chat_format(request.base).switched(request.thinking)
    if template is None:
        raise ModelError(f"{request.base} has no chat template, so it has no switch for `chat.thinking`")
    view = request.out / "switched"
    shutil.rmtree(view, ignore_errors=True)
    view.mkdir()
    for file in request.base.iterdir():
        if file.name != "chat_template.jinja":
            (view / file.name).symlink_to(file.resolve())
    (view / "chat_template.jinja").write_text(template, encoding="utf-8")
    return view


def _exported(
    request: ExportRequest, form: ServedForm, quantized: QuantizeReport, merge_onto: TrainedOn, size_bytes: int
) -> Exported:
    return Exported(
        form=form,
        scale=request.scale,
        merged_onto=merge_onto,
        size_bytes=size_bytes,
        tensor_types=quantized.types,
        agreement=None,
        tried=(request.scale,),
        seconds=0.0,
    )


def _served(trained: _Trained, form: ServedForm, prompts: Sequence[str]) -> Agreement:
    """Complete the agreement with what the quantized form says in llama.cpp."""
    request = {"form": form.model_dump(), "prompts": list(prompts)}
    answer = run_in_child("pipelines.stages.export.child:served_tokens", request, timeout_seconds=_AGREEMENT_SECONDS)
    same = sum(ours == theirs for ours, theirs in zip(answer["tokens"], trained.tokens, strict=True))
    return Agreement(
        prompts=len(prompts),
        positions=trained.positions,
        top1=trained.top1,
        kld=trained.kld,
        served_top1=same / len(prompts),
    )
