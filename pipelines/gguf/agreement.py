"""Does the merged model say what the trained one says? Measured in torch, in a child process of the export.

`python -m pipelines.gguf.agreement < request.json` prints the result as JSON.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from pipelines.errors import ModelError
from pipelines.gguf.convert import TrainedOn
from pipelines.gguf.lora import Lora
from pipelines.gguf.rounding import is_rounded, round_trip
from pipelines.gguf.tensors import Checkpoint
from pipelines.records import Record
from pipelines.timing import faster_matmul_dtype

_POSITIONS = 4
_LONGEST = 1024
_FLOAT32_BYTES = 4 << 30


class Request(Record):
    """`trained_on` says whether the layers' matrices went through NF4 or MLX's 4 bits; `merge_onto`, what to try, in this order."""

    base: str
    adapter: str | None
    scale: float
    trained_on: TrainedOn
    merge_onto: tuple[TrainedOn, ...]
    max_kld: float
    prompts: tuple[str, ...]


class Result(Record):
    """Shares and nats over all measured positions; `tokens` is adapter-on's greedy next token per prompt."""

    merged_onto: TrainedOn
    positions: int
    top1: float
    kld: float
    tokens: tuple[int, ...]


def measure(request: Request) -> Result:
    """Top-1 agreement and mean KL(adapter-on || merged) at the last positions of each prompt.

    For the first of `merge_onto` that stays within `max_kld`, or else the last.
    """
    base = Path(request.base)
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    ids = [tokenizer.encode(text, add_special_tokens=False).ids[-_LONGEST:] for text in request.prompts]
    if not all(ids):
        raise ModelError("an empty prompt cannot be compared")
    model = load_model(base, request.trained_on)
    if request.adapter is None:
        trained = list(_log_probabilities(model, ids))
        return _compare(trained, trained, request.merge_onto[0])
    tuned = _with_adapter(model, Path(request.adapter), request.scale)
    trained = list(_log_probabilities(tuned, ids))
    model = tuned.unload()
    for weights in request.merge_onto:
        _merge_into(model, base, Lora(Path(request.adapter), request.scale, dora=True), weights)
        result = _compare(trained, _log_probabilities(model, ids), weights)
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


def _log_probabilities(model: Any, ids: Sequence[Sequence[int]]) -> Iterator[torch.Tensor]:
    """Per prompt, the log-probabilities (positions x vocabulary) at its last positions, float32."""
    for prompt in ids:
        with torch.inference_mode():
            positions = min(_POSITIONS, len(prompt))
            logits = model(torch.tensor([list(prompt)]), logits_to_keep=positions).logits[0]
            yield torch.log_softmax(logits.float(), dim=-1)


def _compare(trained: Sequence[torch.Tensor], merged: Iterable[torch.Tensor], weights: TrainedOn) -> Result:
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


if __name__ == "__main__":
    json.dump(measure_in_this_process(json.load(sys.stdin)), sys.stdout)
