"""A GGUF becomes a model folder again that reads and says what the file says, or is refused in a sentence."""

import ctypes
import unicodedata
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import pre_tokenizers

from pipelines import chat
from pipelines.bases import restore, restored_tokenizer
from pipelines.bases.inspect import inspect_base
from pipelines.bases.restored_tokenizer import restore_tokenizer
from pipelines.bases.texts import script_texts
from pipelines.errors import ModelError, NoSpace
from pipelines.gguf import maintainers
from pipelines.gguf.convert import convert
from pipelines.gguf.runtime import llama
from tests.disks import small_disk

TINY = Path(__file__).resolve().parents[3] / "models" / "tiny"
# Two that transformers reads as GPT-2's or with other spaces, and that our table mends; the others it knows itself.
OURS = ("refact", "llama-spm")
ALL = (
    "command-r",
    "starcoder",
    "deepseek-coder",
    "baichuan",
    "gpt-2",
    "llama-bpe",
    "phi-3",
    "qwen2",
    "qwen35",
    "gemma-4",
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(TINY, tmp_path_factory.mktemp("served") / "tiny.gguf", ftype="bf16").path


def vocabulary_reads(file: Path, texts: list[str]) -> list[list[int]]:
    """The ids by llama.cpp of a GGUF that may be a vocabulary alone."""
    library = llama()
    parameters = library.llama_model_default_params()
    parameters.vocab_only = True
    model = library.llama_model_load_from_file(str(file).encode(), parameters)
    vocabulary, buffer, read = library.llama_model_get_vocab(model), (ctypes.c_int32 * 4096)(), []
    for text in texts:
        data = unicodedata.normalize("NFC", text).encode()
        read.append(buffer[: library.llama_tokenize(vocabulary, data, len(data), buffer, 4096, False, False)])
    library.llama_model_free(model)
    return read


@pytest.mark.parametrize("name", [*OURS, *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ALL)])
def test_a_tokenizer_is_restored_as_llama_cpp_reads_it(name: str) -> None:
    file = maintainers.tools() / "models" / f"ggml-vocab-{name}.gguf"
    tokenizer, settings = restore_tokenizer(file)
    texts = [chat.escape_markers(text) for text in script_texts(400)]
    ours = [list(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]
    assert ours == vocabulary_reads(file, texts)
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_a_file_becomes_the_folder_that_it_was_made_of(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights" / "tiny"
    restore.restore_in_this_process({"file": str(file), "folder": str(folder)})
    facts, original = inspect_base(folder), inspect_base(TINY)
    assert (facts.architecture, facts.parameters, facts.end_token) == (
        original.architecture,
        original.parameters,
        original.end_token,
    )
    assert (facts.vocabulary, facts.context, facts.licence) == (original.vocabulary, original.context, "not stated")
    weights, expected = load_file(folder / "model.safetensors"), load_file(TINY / "model.safetensors")
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name].to(torch.bfloat16)) for name in weights)
    assert all(path.is_file() for path in folder.iterdir())


def test_a_file_that_would_be_read_otherwise_is_refused_and_leaves_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restored_tokenizer, "_SPLITS", {"qwen2": pre_tokenizers.Whitespace()})
    with pytest.raises(
        ModelError, match=r"reads [\d,]+ of 2,000 texts as other ids than llama.cpp does; adopt the folder"
    ):
        restore.restore_in_this_process({"file": str(file), "folder": str(tmp_path / "weights" / "other")})
    assert not any((tmp_path / "weights").iterdir())


def test_a_disk_that_is_too_small_is_said_and_nothing_is_left(file: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "weights", 4 << 20) as disk:
        with pytest.raises(NoSpace, match=r"weights has \d MB free where \d+ MB are needed; make room on that disk"):
            restore.restore_in_this_process({"file": str(file), "folder": str(disk / "tiny")})
        assert not any(disk.iterdir())


def test_a_file_too_large_for_the_memory_is_refused_beforehand(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "_FLOAT_BYTES", 1e6)
    with pytest.raises(ModelError, match=r"take 3674\.\d GB of memory to restore, and [\d.]+ GB are free; adopt"):
        restore.restore_in_this_process({"file": str(file), "folder": str(tmp_path / "tiny")})
