"""How llama.cpp runs: by what is set, or else by what the machine has; every choice is in the fingerprint of a score."""

from pathlib import Path

import pytest

from pipelines.errors import InputError
from pipelines.gguf import runtime
from pipelines.gguf.scorer import GGUFScorer
from tests.pipelines.gguf.conftest import merged_form


@pytest.mark.parametrize(
    ("free", "layers"), [(0, 0), (2 << 30, 0), ((2 << 30) + 1, 0), (0.5, 1), (0.7, 2), (1.0, 3), (50.0, 3)]
)
def test_as_many_layers_go_onto_the_gpu_as_its_free_memory_holds(q4_gguf: Path, free: float, layers: int) -> None:
    size = q4_gguf.stat().st_size  # two layers and the output; a fraction is of the file, beside what is kept free
    free_bytes = free if isinstance(free, int) else int((2 << 30) + size * free) + 1
    assert runtime.layers_that_fit(q4_gguf, free_bytes) == layers


def test_what_is_set_is_how_a_model_runs_and_stands_in_the_fingerprint(
    q4_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_KV_TYPE", "q8_0")
    monkeypatch.setenv("PERENNIAL_GPU_LAYERS", "7")
    with GGUFScorer(merged_form(q4_gguf)) as scorer:
        found, text = scorer.fingerprint(), scorer.generate(scorer.tokenize("Hello"), 4)
    assert (found["kv_type"], found["flash_attention"], found["gpu_layers"], found["width"]) == ("q8_0", True, 7, 16)
    assert text
    monkeypatch.setenv("PERENNIAL_GPU_LAYERS", "auto")
    monkeypatch.setattr(runtime, "gpu_free_bytes", lambda: 3 << 30)
    assert runtime.runtime_for(q4_gguf).gpu_layers == 3


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"PERENNIAL_KV_TYPE": "q4"}, "PERENNIAL_KV_TYPE='q4' cannot be used: .* one of f32, f16, q8_0"),
        ({"PERENNIAL_FLASH_ATTENTION": "on"}, "write 1 or 0"),
        ({"PERENNIAL_GPU_LAYERS": "-1"}, "write auto, or how many layers"),
        ({"PERENNIAL_KV_TYPE": "q8_0", "PERENNIAL_FLASH_ATTENTION": "0"}, "needs flash attention"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_in_a_sentence(
    q4_gguf: Path, settings: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=sentence):
        runtime.runtime_for(q4_gguf)


def test_a_machine_without_a_gpu_computes_everything_itself(q4_gguf: Path) -> None:
    if runtime.llama().llama_supports_gpu_offload():
        pytest.skip("llama.cpp was compiled for a GPU here")
    assert runtime.gpu_free_bytes() == 0 and runtime.runtime_for(q4_gguf).gpu_layers == 0
