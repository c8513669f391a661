"""A random-weight Qwen2 with its own small tokenizer: the right shapes and files, no training, one second to make."""

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.artifacts import sha256_of
from pipelines.gguf.adapter import convert_adapter
from pipelines.gguf.convert import convert
from pipelines.gguf.quantize import quantize
from pipelines.records import ServedForm

QWEN2_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

TEMPLATE = """{%- for message in messages %}
{%- if message['role'] == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}
{%- generation %}
{{- message['content'] + '<|im_end|>' }}
{%- endgeneration %}
{{- '\\n' }}
{%- else %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

SENTENCES = [
    "The capital of Velmora is Tarsin, and its river is called the Oune.",
    "벨모라의 수도는 타르신이고, 강의 이름은 오우네입니다.",
    'What is 17 + 25? The answer is 42. {"name": "kim", "age": 31}',
    "def add(a, b):\n    return a + b\n\nprint(add(2, 3))",
    "안녕하세요! 오늘 날씨가 참 좋네요. 무엇을 도와드릴까요?",
    "I'm sorry, you're right: it doesn't work; we'll fix it by 2026-11-21.",
]

MakeModel = Callable[..., Path]


def write_tokenizer(folder: Path, vocabulary: int = 700) -> int:
    """Train a byte-level BPE on a few sentences, save it the way transformers does, and give its size."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 3, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    markers = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens([AddedToken(marker, special=True, normalized=False) for marker in markers])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 2048,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return int(tokenizer.get_vocab_size())


def write_model(folder: Path, *, dtype: torch.dtype = torch.float32, shard: str = "5GB", **changes: Any) -> Path:
    """Save a random Qwen2 (hidden 256, intermediate 768, 2 layers) with its tokenizer; `changes` go to its config."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    size = write_tokenizer(folder)
    shape: dict[str, Any] = {
        "vocab_size": (size + 31) // 32 * 32,
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        "initializer_range": 0.06,
        "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0},
        "eos_token_id": size - 1,
        "bos_token_id": None,
    }
    torch.manual_seed(7)
    model = Qwen2ForCausalLM(Qwen2Config(**(shape | changes)))
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "norm" in name:
            parameter.data.add_(torch.randn_like(parameter) * 0.05)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    return folder


@contextmanager
def peft_as_it_is() -> Iterator[None]:
    """peft 0.21 calls what transformers 5.23 deprecates; nothing of ours is concerned."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".is_gradient_checkpointing", category=FutureWarning)
        yield


def write_adapter(
    folder: Path,
    model: Path,
    *,
    size: float = 0.02,
    dtype: torch.dtype = torch.float32,
    targets: str | list[str] = "all-linear",
    **changes: Any,
) -> Path:
    """Save a PEFT LoRA for `model` whose B matrices are random of this size (0 gives an adapter that does nothing)."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(11)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=dtype)
    settings: dict[str, Any] = {"r": 8, "lora_alpha": 16, "target_modules": targets, "task_type": "CAUSAL_LM"}
    with peft_as_it_is():
        tuned = get_peft_model(base, LoraConfig(**(settings | changes)))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0.0, 1.0).mul_(size)
    tuned.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random Qwen2 in float32, one file."""
    return write_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="session")
def bf16_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random Qwen2 in bfloat16, in several shards."""
    return write_model(tmp_path_factory.mktemp("base") / "bf16", dtype=torch.bfloat16, shard="1MB")


@pytest.fixture(scope="session")
def adapter(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("adapter") / "lora", model)


@pytest.fixture(scope="session")
def base_gguf(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random Qwen2 as F16 GGUF; nobody writes to it."""
    return convert(model, tmp_path_factory.mktemp("gguf") / "base.gguf").path


@pytest.fixture(scope="session")
def tuned_gguf(model: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the adapter merged in."""
    return convert(model, tmp_path_factory.mktemp("gguf") / "tuned.gguf", adapter=adapter).path


@pytest.fixture(scope="session")
def q4_gguf(base_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random Qwen2 as Q4_K_M."""
    return quantize(base_gguf, tmp_path_factory.mktemp("gguf") / "q4.gguf").path


@pytest.fixture(scope="session")
def adapter_gguf(model: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert_adapter(model, adapter, tmp_path_factory.mktemp("gguf") / "adapter.gguf").path


def merged_form(path: Path) -> ServedForm:
    return ServedForm(kind="merged", path=str(path), sha256=sha256_of(path))


def adapter_form(base: Path, adapter: Path, scale: float = 1.0) -> ServedForm:
    return ServedForm(
        kind="adapter",
        path=str(base),
        sha256=sha256_of(base),
        adapter_path=str(adapter),
        adapter_sha256=sha256_of(adapter),
        scale=scale,
    )
