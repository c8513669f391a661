"""Quantized files hold what their name says, and nothing half-made is left behind."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from pipelines.artifacts import sha256_of
from pipelines.errors import ArtifactError, GGUFError
from pipelines.gguf.check import tensor_types
from pipelines.gguf.convert import convert
from pipelines.gguf.quantize import Quantization, quantize
from tests.pipelines.gguf.conftest import write_model


@pytest.mark.parametrize(
    ("kind", "matrix_types"),
    [
        ("Q4_K_M", {"Q4_K", "Q6_K"}),
        ("Q5_K_M", {"Q5_K", "Q6_K"}),
        ("Q6_K", {"Q6_K"}),
        ("Q8_0", {"Q8_0"}),
        ("F16", {"F16"}),
    ],
)
def test_every_matrix_has_a_type_of_its_kind(
    base_gguf: Path, tmp_path: Path, kind: Quantization, matrix_types: set[str]
) -> None:
    report = quantize(base_gguf, tmp_path / "out.gguf", kind)
    types = tensor_types(report.path)
    assert {types[name] for name in types if "norm" not in name and "bias" not in name} == matrix_types
    assert report.sha256 == sha256_of(report.path) and report.size_bytes <= base_gguf.stat().st_size
    assert sum(report.types.values()) == len(types)


@pytest.mark.parametrize(
    ("shape", "tensor"),
    [
        ({"hidden_size": 896, "num_attention_heads": 14}, "blk.0.attn_k.weight"),  # Qwen2.5-0.5B's
        ({"intermediate_size": 640}, "blk.0.ffn_down.weight"),
    ],
)
def test_sizes_that_k_quants_cannot_take_are_refused_by_tensor(
    tmp_path: Path, shape: dict[str, int], tensor: str
) -> None:
    source = convert(write_model(tmp_path / "model", **shape), tmp_path / "f16.gguf").path
    with pytest.raises(GGUFError, match=f"({tensor}).* multiples of 256"):
        quantize(source, tmp_path / "q4.gguf", "Q4_K_M")
    assert not list(tmp_path.glob("*q4*"))
    assert quantize(source, tmp_path / "q8.gguf", "Q8_0").types["Q8_0"] > 0


def test_a_quantized_file_is_not_quantized_again(q4_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="quantized already"):
        quantize(q4_gguf, tmp_path / "again.gguf")


def test_a_file_is_never_quantized_onto_itself(base_gguf: Path, tmp_path: Path) -> None:
    source = Path(shutil.copy(base_gguf, tmp_path / "f16.gguf"))
    before = sha256_of(source)
    with pytest.raises(GGUFError, match="onto itself"):
        quantize(source, source)
    assert sha256_of(source) == before


def test_an_unknown_kind_is_refused_with_the_known_ones(base_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="'Q3_K_S' is not supported; supported: Q4_K_M"):
        quantize(base_gguf, tmp_path / "out.gguf", "Q3_K_S")  # type: ignore[arg-type]


def test_nan_weights_give_one_sentence_and_no_file(base_gguf: Path, tmp_path: Path) -> None:
    source = Path(shutil.copy(base_gguf, tmp_path / "nan.gguf"))
    tensor = next(t for t in gguf.GGUFReader(source).tensors if t.name == "blk.0.ffn_up.weight")
    with source.open("r+b") as file:
        file.seek(tensor.data_offset)
        file.write(np.full(256, np.nan, np.float16).tobytes())
    with pytest.raises(GGUFError, match="could not quantize nan.gguf to Q4_K_M"):
        quantize(source, tmp_path / "q4.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["nan.gguf"]


@pytest.mark.parametrize("cut", [100, 5_000, 1_000_000])
def test_a_source_cut_short_gives_one_sentence_and_no_file(base_gguf: Path, tmp_path: Path, cut: int) -> None:
    source = tmp_path / "cut.gguf"
    source.write_bytes(base_gguf.read_bytes()[:cut])
    with pytest.raises(GGUFError, match="cut.gguf"):
        quantize(source, tmp_path / "q4.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["cut.gguf"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_too_small_is_refused_before_writing(model: Path, small_disk: Path) -> None:
    with pytest.raises(ArtifactError, match="MB are needed"):
        convert(model, small_disk / "f32.gguf", ftype="f32")
    assert os.listdir(small_disk) == []


def test_a_disk_that_fills_up_while_writing_gives_one_sentence_and_no_file(
    model: Path, base_gguf: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.artifacts.require_space", lambda folder, needed: None)
    (small_disk / "ballast").write_bytes(bytes(5 << 20))
    with pytest.raises(ArtifactError, match="the disk is full"):
        convert(model, small_disk / "f32.gguf", ftype="f32")
    with pytest.raises(ArtifactError, match="filled the disk"):
        quantize(base_gguf, small_disk / "q4.gguf")
    assert os.listdir(small_disk) == ["ballast"]
