"""Does the merged model say what the trained one says? Measured in torch, in a child process of the export.

`python -m pipelines.gguf.agreement < request.json` prints the result as JSON.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from pipelines.errors import ModelError
from pipelines.gguf.convert import TrainedOn
from pipelines.gguf.lora import Lora
from pipelines.gguf.rounding import is_rounded, round_trip
from pipelines.gguf.tensors import Checkpoint
from pipelines.progress import report_progress
from pipelines.records import Record
from pipelines.timing import faster_matmul_dtype

_POSITIONS = 4
_LONGEST = 1024
_BATCH_TOKENS = 4096
_GPU_ROOM = 1.3  # of the weights' size: activations and a copy of one layer's matrix stand beside them
_FLOAT32_BYTES = 4 << 30


class Request(Record):
    """`trained_on` says whether the layers' matrices went through NF4 or MLX's 4 bits;
    `merge_onto`, what to try, in this order.

    `progress` is the folder of the stage named `export`, whose progress.jsonl grows; None for none.
    """

    base: str
    adapter: str | None
    scale: float
    trained_on: TrainedOn
    merge_onto: tuple[TrainedOn, ...]
    max_kld: float
    prompts: tuple[str, ...]
    progress: str | None = None


class Result(Record):
    """Shares and nats over all measured positions; `tokens` is adapter-on's greedy next token per prompt."""

    merged_onto: TrainedOn
    positions: int
    top1: float
    kld: float
    tokens: tuple[int, ...]


def measure(request: Request) -> Result:
    """Top-1 agreement and mean KL(adapter-on || merged) at the last positions of each prompt, on the GPU where there is room.

    For the first of `merge_onto` that stays within `max_kld`, or else the last.
    """
    base = Path(request.base)
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    ids = [tokenizer.encode(text, add_special_tokens=False).ids[-_LONGEST:] for text in request.prompts]
    if not all(ids):
        raise ModelError("an empty prompt cannot be compared")
    model = _on_device(load_model(base, request.trained_on))
    passes = 1 if request.adapter is None else 1 + len(request.merge_onto)
    progress = _Progress(request.progress, len(ids), passes)
    if request.adapter is None:
        trained = _log_probabilities(model, ids, progress)
        return _compare(trained, trained, request.merge_onto[0])
    tuned = _with_adapter(model, Path(request.adapter), request.scale)
    trained = _log_probabilities(tuned, ids, progress)
    model = tuned.unload()
    for weights in request.merge_onto:
        _merge_into(model, base, Lora(Path(request.adapter), request.scale, dora=True), weights)
        result = _compare(trained, _log_probabilities(model, ids, progress), weights)
        if result.kld <= request.max_kld:
            break
    return result


def measure_in_this_process(arguments: dict[str, Any]) -> dict[str, Any]:
    """`measure` for pipelines.isolated."""
    return measure(Request.model_validate(arguments)).model_dump(mode="json")


def load_model(base: Path, weights: TrainedOn) -> Any:
    """A folder's model in transformers, in float32 while it is small, its matrices through 4 bits and back where asked."""
    from transformers import AutoModelForCausalLM

    size = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    dtype = torch.float32 if size < _FLOAT32_BYTES else faster_matmul_dtype()
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, local_files_only=True).eval()
    if weights != "full":
        checkpoint = Checkpoint(base)
        for name, parameter in model.named_parameters():
            if is_rounded(name, parameter.shape, weights):
                parameter.data.copy_(round_trip(checkpoint.read(name), weights))
    return model


def _with_adapter(model: Any, adapter: Path, scale: float) -> Any:
    """peft's own forward, an independent witness of what our merge should do."""
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    tuned = PeftModel.from_pretrained(model, str(adapter)).eval()
    for module in tuned.modules():
        if isinstance(module, LoraLayer):
            module.scaling = {name: value * scale for name, value in module.scaling.items()}
    return tuned


def _merge_into(model: Any, base: Path, lora: Lora, weights: TrainedOn) -> None:
    """Set the layers' matrices to what the export will merge, rounded to float16 as the GGUF between is."""
    checkpoint = Checkpoint(base)
    for name, parameter in model.named_parameters():
        if not is_rounded(name, parameter.shape, "nf4"):
            continue
        rounds = is_rounded(name, parameter.shape, weights)
        weight = checkpoint.read(name)
        weight = (round_trip(weight, weights) if rounds else weight).float()
        if name in lora.names:
            weight = lora.changed(name, weight, 0)
        parameter.data.copy_(weight.to(torch.float16))


def _on_device(model: Any) -> Any:
    """The model on the GPU if there is one with room for it."""
    if not torch.cuda.is_available():
        return model
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    return model.to("cuda") if torch.cuda.mem_get_info()[0] > size * _GPU_ROOM else model


def batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Places of prompts that are computed together: like lengths, padded to the longest at most so many tokens."""
    parts: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda one: lengths[one], reverse=True):
        if parts and (len(parts[-1]) + 1) * lengths[parts[-1][0]] <= tokens:
            parts[-1].append(place)
        else:
            parts.append([place])
    return parts


def _log_probabilities(model: Any, ids: Sequence[Sequence[int]], progress: "_Progress") -> list[torch.Tensor]:
    """Per prompt the log-probabilities (positions x vocabulary) at its last positions, float32; in batches."""
    rows: dict[int, torch.Tensor] = {}
    for places in batches([len(prompt) for prompt in ids], _BATCH_TOKENS):
        longest = len(ids[places[0]])
        tokens_BT = torch.zeros(len(places), longest, dtype=torch.long)
        mask_BT = torch.zeros_like(tokens_BT)
        for row, place in enumerate(places):  # padding first, so that all end at the same place
            tokens_BT[row, longest - len(ids[place]) :] = torch.tensor(list(ids[place]))
            mask_BT[row, longest - len(ids[place]) :] = 1
        position_BT = (mask_BT.cumsum(1) - 1).clamp(min=0)
        inputs = {"input_ids": tokens_BT, "attention_mask": mask_BT, "position_ids": position_BT}
        with torch.inference_mode():
            placed = {name: value.to(model.device) for name, value in inputs.items()}
            logits = model(**placed, logits_to_keep=min(_POSITIONS, longest)).logits.float().cpu()
        for row, place in enumerate(places):
            rows[place] = torch.log_softmax(logits[row, -min(_POSITIONS, len(ids[place])) :], dim=-1)
        progress.add(len(places))
    return [rows[place] for place in range(len(ids))]


def _compare(trained: Sequence[torch.Tensor], merged: Sequence[torch.Tensor], weights: TrainedOn) -> Result:
    same = positions = 0
    divergence = 0.0
    for p, q in zip(trained, merged, strict=True):
        divergence += float((p.exp() * (p - q)).sum())
        same += int((p.argmax(-1) == q.argmax(-1)).sum())
        positions += p.shape[0]
    return Result(
        merged_onto=weights,
        positions=positions,
        top1=same / positions,
        kld=max(0.0, divergence / positions),
        tokens=tuple(int(p[-1].argmax()) for p in trained),
    )


class _Progress:
    """Appends a line to the export's progress after each batch."""

    def __init__(self, folder: str | None, prompts: int, passes: int) -> None:
        self._folder, self._prompts, self._total, self._done = folder, prompts, prompts * passes, 0

    def add(self, prompts: int) -> None:
        self._done += prompts
        if self._folder is not None:
            report_progress(
                Path(self._folder),
                "export",
                self._done,
                self._total,
                message=f"comparing the merged model with the trained one, on {self._prompts} prompts",
            )


if __name__ == "__main__":
    json.dump(measure_in_this_process(json.load(sys.stdin)), sys.stdout)
