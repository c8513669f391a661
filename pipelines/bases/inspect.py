"""What a model folder is, before anything is made of it; what cannot be adopted is refused by name, with the way out."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipelines.bases.facts import BaseFacts
from pipelines.errors import ModelError
from pipelines.gguf.maintainers import check_vocabulary
from pipelines.gguf.model_files import read_json, refuse_quantized
from pipelines.gguf.tensors import Checkpoint
from pipelines.tokenizer import ChatTokenizer

_K_QUANT_ROW = 256
_OTHER_PARTS = re.compile(
    r"(?:^|\.)(mtp|visual|vision_tower|vision_model|audio_tower|multi_modal_projector|embed_vision)\."
)
_LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE")


def inspect_in_this_process(arguments: dict[str, Any]) -> dict[str, Any]:
    """`inspect_base` and the machine that would train, for pipelines.isolated: both take torch."""
    from pipelines.backends.torch.device import machine

    facts, here = inspect_base(Path(arguments["folder"])), machine("auto")
    return {
        "facts": facts.model_dump(mode="json"),
        "machine": {"memory_bytes": here.memory_bytes, "cuda": here.device == "cuda"},
    }


def inspect_base(folder: Path) -> BaseFacts:
    """What `folder` holds.

    Raises:
        ModelError: it cannot be adopted; the sentence names why and what to use instead.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} has no config.json, so it is no model folder; name a folder in Hugging Face's layout, a model of the hub "
            "(PUBLISHER/NAME), or a .gguf file"
        )
    config = read_json(folder / "config.json")
    architecture = _architecture(config, folder.name)
    refuse_quantized(folder)
    _require_tokenizer(folder)
    check_vocabulary(folder)
    tokenizer = ChatTokenizer(folder)
    if tokenizer.end_id is None:
        raise ModelError(
            f"{folder.name} names no eos_token in tokenizer_config.json that is in its vocabulary, so its answers would never "
            "end: name the token that its template ends a turn with"
        )
    tensors = Checkpoint(folder).tensors
    text = config.get("text_config") or config
    return BaseFacts(
        architecture=architecture,
        parameters=sum(math.prod(tensor.shape) for tensor in tensors.values()),
        size_bytes=sum(tensor.size_bytes for tensor in tensors.values()),
        context=int(text.get("max_position_embeddings") or 0),
        vocabulary=tokenizer.size,
        end_token=tokenizer.named["eos_token"],
        thinks="enable_thinking" in tokenizer.template,
        licence=_licence(folder),
        sampling=_sampling(folder),
        k_quants=_fits_k_quants(text),
        left_out=_left_out(tensors),
    )


def _architecture(config: dict[str, Any], name: str) -> str:
    architecture = str((config.get("architectures") or [""])[0])
    if "vision_config" in config and "text_config" not in config:
        raise ModelError(f"{name} ({architecture}) only sees: it has no text part to talk with; use a language model")
    if not architecture.endswith(("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")):
        raise ModelError(
            f"{name} is {architecture or 'of no named architecture'}, which does not write text; use a model whose config.json names "
            "an architecture ...ForCausalLM"
        )
    return architecture


def _left_out(names: Iterable[str]) -> tuple[str, ...]:
    parts = Counter(match[1] for name in names if (match := _OTHER_PARTS.search(name)))
    return tuple(f"{count} tensors of {part}" for part, count in sorted(parts.items()))


def _require_tokenizer(folder: Path) -> None:
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(
            f"{folder.name} has no tokenizer.json; write one with transformers: "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )


def _licence(folder: Path) -> str:
    """The first words of its licence file, or what its card says in `license:`."""
    for name in _LICENCES:
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
            return next((line.strip()[:80] for line in lines if line.strip()), "")
    card = folder / "README.md"
    lines = card.read_text(encoding="utf-8", errors="replace").splitlines()[:40] if card.is_file() else []
    return next((line.partition(":")[2].strip()[:80] for line in lines if line.startswith("license:")), "not stated")


def _sampling(folder: Path) -> dict[str, float]:
    path = folder / "generation_config.json"
    said = read_json(path) if path.is_file() else {}
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    return {name: float(said[name]) for name in names if isinstance(said.get(name), int | float)}


def _fits_k_quants(text: dict[str, Any]) -> bool:
    hidden, heads = int(text.get("hidden_size") or 0), int(text.get("num_attention_heads") or 0)
    head = int(text.get("head_dim") or (hidden // heads if heads else 0))
    rows = (hidden, int(text.get("intermediate_size") or 0), heads * head)
    return all(row and row % _K_QUANT_ROW == 0 for row in rows)
