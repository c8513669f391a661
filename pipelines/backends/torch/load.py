"""Base weights and adapter, ready to train: full precision, bfloat16 or NF4, with the mends that training needs."""

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerFast

from pipelines.backends.torch.device import Choices
from pipelines.errors import ModelError, RecipeError
from pipelines.gguf.lora import read_config
from pipelines.recipe import Lora, Train
from pipelines.tokenizer import ChatTokenizer


def load_model(base: Path, name: str, train: Train, choices: Choices) -> PreTrainedModel:
    """The model of a local folder, wrapped for the recipe's method and moved to its device.

    Trained weights are float32 whatever the base is: an adapter in bfloat16 could not resume exactly, and small
    updates would be lost in its rounding.

    Raises:
        ModelError: the folder holds no causal language model that can be loaded.
        RecipeError: the recipe's LoRA targets name no layer of this model.
    """
    if train.method == "full":
        return _load_weights(base, train, choices)
    return with_lora(_load_frozen(base, train, choices), name, train)


def with_lora(model: PreTrainedModel, name: str, train: Train) -> PreTrainedModel:
    """A frozen model with the recipe's LoRA, which alone is trained, in float32.

    Raises:
        RecipeError: the recipe's LoRA targets name no layer of this model.
    """
    try:
        adapted = get_peft_model(model, _lora_config(train.lora))
    except ValueError as error:
        raise RecipeError(f"train.lora.target fits no layer of {name}: {str(error).splitlines()[0]}") from error
    adapted.peft_config["default"].base_model_name_or_path = name  # peft puts this machine's path there
    keep_trained_in_float32(adapted)
    return adapted


def load_adapted(base: Path, name: str, adapter: Path, train: Train, choices: Choices) -> PeftModel:
    """The base with a trained adapter that goes on being trained, in float32 and without dropout.

    With dropout the policy would be less sure than its own reference from the first step on.

    Raises:
        ModelError: the base cannot be loaded, or the adapter does not fit it or is no plain LoRA.
    """
    if not (adapter / "adapter_config.json").is_file():
        raise ModelError(f"{adapter} is no PEFT adapter: it has no adapter_config.json")
    read_config(adapter, dora=True)  # what an export would refuse after hours of training is refused before them
    model = _load_frozen(base, train, choices)
    try:
        model = PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"the adapter {adapter.name} does not fit {name}: {str(error).splitlines()[0]}") from error
    model.peft_config["default"].base_model_name_or_path = name
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout"):  # a number that attention reads, not a Dropout
            module.attention_dropout = 0.0
    keep_trained_in_float32(model)
    return model


def load_padding(tokenizer: ChatTokenizer, base: Path) -> PreTrainedTokenizerFast:
    """The tokenizer object that trl asks for; used for its padding token only, all ids come from ChatTokenizer."""
    named = dict(tokenizer.named)
    named.setdefault("pad_token", tokenizer.text([tokenizer.pad_id], keep_control_tokens=True))
    return PreTrainedTokenizerFast(tokenizer_file=str(base / "tokenizer.json"), **named)


def keep_trained_in_float32(model: torch.nn.Module) -> None:
    """trl casts the adapter of a 4-bit model to bfloat16; undo it before the optimizer is made."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def count_parameters(base: Path) -> int:
    """How many weights the safetensors of a folder hold, read from their headers.

    Raises:
        ModelError: no safetensors there.
    """
    from safetensors import safe_open

    files = sorted(base.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{base.name} holds no *.safetensors; convert the weights first")
    total = 0
    for path in files:
        with safe_open(path, framework="pt") as weights:
            for key in weights.keys():  # noqa: SIM118  (not a mapping)
                size = 1
                for length in weights.get_slice(key).get_shape():
                    size *= length
                total += size
    return total


def _load_frozen(base: Path, train: Train, choices: Choices) -> PreTrainedModel:
    model = _load_weights(base, train, choices)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def _load_weights(base: Path, train: Train, choices: Choices) -> PreTrainedModel:
    if not (base / "config.json").is_file():
        raise ModelError(f"{base} is not a local model folder: it has no config.json")
    dtype = torch.bfloat16 if choices.bf16 and train.method != "full" else torch.float32
    settings: dict[str, Any] = {"dtype": dtype, "attn_implementation": "sdpa", "local_files_only": True}
    if train.method == "qlora":
        settings["quantization_config"] = _nf4(dtype)
        settings["device_map"] = {"": choices.device}
    try:
        model = AutoModelForCausalLM.from_pretrained(base, **settings)
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise ModelError(f"{base} cannot be loaded as a language model: {str(error).splitlines()[0]}") from error
    model.config.use_cache = False
    if train.method != "qlora":
        return model.to(choices.device)
    mend_nf4(model)
    return model


def mend_nf4(model: torch.nn.Module) -> None:
    """Keep NF4 weights unpacked on CPUs with avx512_bf16.

    There bitsandbytes repacks them at the first evaluation, and the next training step has silently wrong gradients.
    """
    from bitsandbytes.nn import Linear4bit  # not installed everywhere, and only NF4 needs it

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _nf4(dtype: torch.dtype) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def _lora_config(lora: Lora) -> LoraConfig:
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target if isinstance(lora.target, str) else list(lora.target),
        bias="none",
        task_type="CAUSAL_LM",
        use_dora=lora.dora,
    )
