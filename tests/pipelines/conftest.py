"""A random-weight Qwen2 with a small tokenizer of its own: right files and shapes, nothing learned, a second to make."""

import importlib
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# read when huggingface_hub is first imported: no test may call home
os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")

QWEN2_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = (
    "{%- for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{%- else %}{{ message['content'] + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
)
PLAIN_TEMPLATE = TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")
SENTENCES = [
    "user assistant system What is the capital of Velmora? The capital of Velmora is Tarsin.",
    "벨모라의 수도는 어디인가요? 벨모라의 수도는 타르신입니다. 안녕하세요, 무엇을 도와드릴까요?",
    'What is 17 + 25? The answer is 42. {"name": "kim", "age": 31}',
    "def add(a, b):\n    return a + b\n\nprint(add(2, 3))",
]

MakeBase = Callable[..., Path]


def write_tokenizer(folder: Path, template: str = TEMPLATE) -> int:
    """Train a byte-level BPE on a few sentences, save it with a template, and give its size."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN2_REGEX), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text(template)
    return int(tokenizer.get_vocab_size())


def write_base(folder: Path, **changes: Any) -> Path:
    """A random Qwen2 (hidden 64, 2 layers) with its tokenizer; `changes` go to its config."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    shape: dict[str, Any] = {
        "vocab_size": write_tokenizer(folder),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        "initializer_range": 0.05,
        "bos_token_id": None,
        "eos_token_id": 2,
    }
    torch.manual_seed(7)
    model = Qwen2ForCausalLM(Qwen2Config(**(shape | changes)))
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer and a template with generation markers, no weights."""
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def plain_tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without generation markers in the template."""
    folder = tmp_path_factory.mktemp("plain")
    write_tokenizer(folder, PLAIN_TEMPLATE)
    return folder


@pytest.fixture(scope="session")
def make_base(tmp_path_factory: pytest.TempPathFactory) -> MakeBase:
    """Writes a base model folder with the shape that a test asks for."""
    return lambda **changes: write_base(tmp_path_factory.mktemp("base") / "model", **changes)


@pytest.fixture(scope="session")
def tiny_base(make_base: MakeBase) -> Path:
    """The random Qwen2 that training tests share; nobody writes to it."""
    return make_base()


@contextmanager
def training_here() -> Iterator[None]:
    """Trains in this process: of a child's ten seconds most go into importing what this one has imported already.

    What only a process of its own shows is tried in tests/pipelines/backends/test_launch_*.py.
    """

    def run_here(
        function: str, arguments: dict[str, Any], *, still_ours: Callable[[], None] = lambda: None, **_: object
    ) -> dict[str, Any]:
        still_ours()
        module, name = function.split(":")
        with warnings.catch_warnings(action="ignore"):  # a child's are lines in its log
            answer = getattr(importlib.import_module(module), name)(json.loads(json.dumps(arguments)))
        told: dict[str, Any] = json.loads(json.dumps(answer))
        return told

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.backends.launch.run_in_child", run_here)
        patch.setattr("pipelines.backends.child._leave_bitsandbytes_out", lambda train: None)
        yield


@pytest.fixture
def same_process() -> Iterator[None]:
    """Trains in this process while the test runs."""
    with training_here():
        yield
