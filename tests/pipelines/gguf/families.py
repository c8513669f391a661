"""Tiny random models of real families with REAL vocabularies and chat templates, trained three steps and converted.

Run in one child process, for what it imports takes longer than what it does. With `small`, Llama 3 has the 32,000 tokens of
Llama 2 in place of its own 128,000.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pipelines.errors import GGUFError
from pipelines.gguf import maintainers, maintainers_child

TEXT = "The quick brown fox said: 12345, 안녕하세요! Wie geht's? <b>ok</b>"
NEW_TOKENS = 12
_SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.1,
}


class Family(NamedTuple):
    """A family: its classes in transformers, the archive's vocabulary and template, and what its shape has besides."""

    config: str
    model: str
    vocabulary: str
    template: str
    shape: dict[str, Any]


FAMILIES = {
    "qwen2": Family(
        "Qwen2Config", "Qwen2ForCausalLM", "qwen2", "Qwen-Qwen2.5-7B-Instruct", {"tie_word_embeddings": True}
    ),
    "qwen3": Family("Qwen3Config", "Qwen3ForCausalLM", "qwen2", "Qwen-Qwen3-0.6B", {"head_dim": 32}),
    "qwen3_5": Family(
        "Qwen3_5TextConfig",
        "Qwen3_5ForCausalLM",
        "qwen35",
        "Qwen3.5-4B",
        {
            "num_hidden_layers": 4,
            "head_dim": 32,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
            "tie_word_embeddings": True,
        },
    ),
    "llama3": Family(
        "LlamaConfig",
        "LlamaForCausalLM",
        "llama-bpe",
        "meta-llama-Llama-3.1-8B-Instruct",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 128,
            }
        },
    ),
    "mistral": Family(
        "MistralConfig",
        "MistralForCausalLM",
        "llama-spm",
        "mistralai-Mistral-Nemo-Instruct-2407",
        {"sliding_window": None},
    ),
    "gemma3": Family(
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        "llama-spm",
        "google-gemma-2-2b-it",
        {
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": 64,
            "initializer_range": 0.02,
        },  # its embeddings are multiplied by 8
    ),
    "phi3": Family(
        "Phi3Config", "Phi3ForCausalLM", "phi-3", "microsoft-Phi-3.5-mini-instruct", {"num_key_value_heads": 4}
    ),
    "qwen3_moe": Family(
        "Qwen3MoeConfig",
        "Qwen3MoeForCausalLM",
        "qwen2",
        "Qwen-Qwen3-0.6B",
        {
            "head_dim": 32,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "norm_topk_prob": True,  # as every published one has it; llama.cpp knows no other
        },
    ),
    "mixtral": Family(
        "MixtralConfig",
        "MixtralForCausalLM",
        "llama-spm",
        "mistralai-Mistral-Nemo-Instruct-2407",
        {"sliding_window": None, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
}


# What the suite runs: each way in which our code changes a weight, with what is smallest. Qwen's own take seconds for their words.
IN_THE_SUITE = ("qwen3_5", "llama3", "mistral", "gemma3", "phi3", "mixtral")
SMALL = {"llama3": "llama-spm"}


def make_all(arguments: dict[str, Any]) -> dict[str, Any]:
    """Every family in a folder of its own below `folder`: base, adapter, and what transformers says of both together.

    And their GGUFs, by the functions that the converter's own child process calls.
    """
    tools = maintainers.tools()
    sys.path[:0] = [str(tools), str(tools / "gguf-py")]  # before anything imports another gguf
    torch.set_num_threads(1)
    folder, facts = Path(arguments["folder"]), {}
    for name in arguments["names"]:
        family = FAMILIES[name]
        if arguments["small"]:
            family = family._replace(vocabulary=SMALL.get(name, family.vocabulary))
        facts[name] = make(family, folder / name)
        facts[name] |= _convert(folder / name, str(tools))
    if "mistral" in facts:
        facts["mistral"]["too_large"] = _convert_too_large(folder / "mistral" / "base", folder / "large", str(tools))
    return facts


def _request(model: Path, tools: str, **changes: Any) -> dict[str, Any]:
    usual = {"adapter": None, "scale": 1.0, "ftype": "f32", "trained_on": "full"}
    return {"model": str(model), "tools": tools, **usual, **changes}


def _convert(folder: Path, tools: str) -> dict[str, Any]:
    """`merged.gguf`, `base.gguf` and `adapter.gguf`; what the converter says of the first."""
    base, adapter = folder / "base", str(folder / "adapter")
    maintainers_child.convert_here(_request(base, tools, out=str(folder / "base.gguf")))
    maintainers_child.convert_adapter_here(_request(base, tools, adapter=adapter, out=str(folder / "adapter.gguf")))
    model = _wrap(base, folder / "wrapped") if folder.name == "qwen3_5" else base
    return maintainers_child.convert_here(_request(model, tools, adapter=adapter, out=str(folder / "merged.gguf")))


def _convert_too_large(base: Path, out: Path, tools: str) -> str:
    """What is said to a weight that float16 cannot hold."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(base, out)
    weights = load_file(out / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = 1e6
    save_file(weights, out / "model.safetensors", {"format": "pt"})
    try:
        maintainers_child.convert_here(_request(out, tools, ftype="f16", out=str(out / "out.gguf")))
    except GGUFError as error:
        return str(error)
    return "nothing"


def _wrap(base: Path, out: Path) -> Path:
    """A checkpoint as its publisher has it: names of a wrapper with vision, a vision tower, a head for several tokens."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(base, out)
    text = json.loads((out / "config.json").read_text())
    wrapper = {"architectures": ["Qwen3_5ForConditionalGeneration"], "model_type": "qwen3_5"}
    (out / "config.json").write_text(json.dumps(text | wrapper | {"text_config": text | {"mtp_num_hidden_layers": 1}}))
    weights = load_file(out / "model.safetensors")
    wrapped = {name.replace("model.", "model.language_model.", 1): weight for name, weight in weights.items()}
    extra = {"model.visual.blocks.0.attn.qkv.weight": torch.zeros(2, 2), "mtp.fc.weight": torch.zeros(64, 128)}
    save_file(wrapped | extra, out / "model.safetensors", {"format": "pt"})
    return out


def make(family: Family, folder: Path) -> dict[str, Any]:
    """One family: `base` and `adapter` in the folder; the ids of TEXT and the greedy continuation with the adapter."""
    import transformers

    tokenizer = _vocabulary(family, folder / "base")
    torch.manual_seed(5)
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    shape = _SHAPE | family.shape | {"vocab_size": tokenizer.size} | ends
    model = getattr(transformers, family.model)(getattr(transformers, family.config)(**shape)).float()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder / "base")
    ids = tokenizer.encode(TEXT)
    plain = _greedy(model, ids)
    tuned = _train(model, ids)
    tuned.save_pretrained(folder / "adapter", save_embedding_layers=False)
    return {"ids": ids, "greedy": _greedy(tuned, ids), "greedy_base": plain}


class _Tokenizer(NamedTuple):
    size: int
    encode: Callable[[str], list[int]]


def _vocabulary(family: Family, base: Path) -> _Tokenizer:
    """Write a real vocabulary and template into a model folder as the family's publishers do."""
    base.mkdir(parents=True)
    models = maintainers.tools() / "models"
    template = (models / "templates" / f"{family.template}.jinja").read_text(encoding="utf-8")
    (base / "chat_template.jinja").write_text(template, encoding="utf-8")
    if family.vocabulary in ("llama-spm", "phi-3"):
        return _sentencepiece(models / f"ggml-vocab-{family.vocabulary}.gguf", base, "Gemma" not in family.model)
    from tokenizers import Tokenizer
    from transformers.integrations.gguf import convert_gguf_tokenizer, get_gguf_tokenizer

    architecture, vocabulary, config = get_gguf_tokenizer(str(models / f"ggml-vocab-{family.vocabulary}.gguf"))
    tokenizer: Tokenizer = convert_gguf_tokenizer(architecture, vocabulary)[0]
    tokenizer.save(str(base / "tokenizer.json"), pretty=False)
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    (base / "tokenizer_config.json").write_text(json.dumps(config))
    return _Tokenizer(
        tokenizer.get_vocab_size(), lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)
    )


def _sentencepiece(vocabulary: Path, base: Path, space_before: bool) -> _Tokenizer:
    """The `tokenizer.model` that such a vocabulary was published as."""
    from sentencepiece import SentencePieceProcessor
    from sentencepiece.sentencepiece_model_pb2 import ModelProto
    from transformers.integrations.gguf import read_gguf_metadata

    fields = read_gguf_metadata(str(vocabulary), ("tokenizer.ggml.tokens",))[0]
    tokens, scores, kinds = (fields[f"tokenizer.ggml.{name}"] for name in ("tokens", "scores", "token_type"))
    unknown = tokens.index("<unk>")
    proto = ModelProto()
    for place, (token, score, kind) in enumerate(zip(tokens, scores, kinds, strict=True)):
        proto.pieces.add(piece=token, score=score, type=kind if kind != 2 or place == unknown else 4)
    proto.trainer_spec.model_type, proto.trainer_spec.unk_id = 2, unknown
    proto.trainer_spec.byte_fallback, proto.trainer_spec.vocab_size = True, len(tokens)
    proto.normalizer_spec.name, proto.normalizer_spec.remove_extra_whitespaces = "identity", False
    proto.normalizer_spec.add_dummy_prefix = space_before
    (base / "tokenizer.model").write_bytes(proto.SerializeToString())
    (base / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"}'
    )
    processor = SentencePieceProcessor(model_file=str(base / "tokenizer.model"))
    return _Tokenizer(len(tokens), lambda text: list(processor.encode(text)))


def _train(model: Any, ids: list[int]) -> Any:
    """Three steps of LoRA on one text, at a rate that is seen in what it says."""
    from peft import LoraConfig, get_peft_model

    targets = (
        "all-linear" if not hasattr(model.config, "num_experts_per_tok") else ["q_proj", "k_proj", "v_proj", "o_proj"]
    )
    tuned = get_peft_model(model, LoraConfig(r=4, lora_alpha=16, target_modules=targets))
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=0.05)
    batch = torch.tensor([ids])
    for _ in range(3):
        tuned(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return tuned.eval()


def _greedy(model: Any, ids: list[int]) -> list[int]:
    read = list(ids)
    with torch.no_grad():
        for _ in range(NEW_TOKENS):
            read.append(int(model(torch.tensor([read]), use_cache=False).logits[0, -1].argmax()))
    return read[len(ids) :]
