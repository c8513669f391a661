"""What MLX loads is what torch loads: rope, adapters, LoRA and DoRA, 4 bits; and what it must not do to the process."""

import importlib
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, PreTrainedConfig, Qwen2Config, Qwen3Config

from pipelines.backends.mlx.library import why_missing
from pipelines.errors import MissingDependency, ModelError, RecipeError
from pipelines.isolated import child_environment
from pipelines.recipe import Lora, Train
from tests.pipelines.conftest import MakeBase

mx = pytest.importorskip("mlx.core")
pytest.importorskip("mlx_lm")
load = importlib.import_module("pipelines.backends.mlx.load")
adapters = importlib.import_module("pipelines.backends.mlx.adapters")
peft_format = importlib.import_module("pipelines.backends.mlx.peft_format")
picking = importlib.import_module("pipelines.backends.mlx.picking")
weights = importlib.import_module("pipelines.backends.mlx.weights")

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

SHAPE: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 2048,
    "initializer_range": 0.05,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
GEMMA = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 500.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 99.0},
}
TURNS = ["sliding_attention", "full_attention"] * 2
FAMILIES: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "qwen2": (Qwen2Config, {"rope_parameters": {"rope_type": "default", "rope_theta": 1234.0}}),
    "qwen3": (Qwen3Config, {"rope_parameters": {"rope_type": "default", "rope_theta": 777.0}}),
    "llama3": (LlamaConfig, {"rope_parameters": LLAMA3}),
    "llama-linear": (
        LlamaConfig,
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 8.0}, "tie_word_embeddings": True},
    ),
    "gemma3": (
        Gemma3TextConfig,
        {"num_hidden_layers": 4, "sliding_window": 8, "layer_types": TURNS, "rope_parameters": GEMMA},
    ),
}
IDS = np.random.default_rng(0).integers(3, 300, (2, 40))


def write_random(folder: Path, family: str, **changes: Any) -> Path:
    kind, settings = FAMILIES[family]
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(kind(**(SHAPE | settings | changes)))
    model.float().save_pretrained(folder)
    return folder


def torch_logits(model: Any) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        logits: np.ndarray[Any, Any] = model.eval()(torch.from_numpy(IDS)).logits.numpy()
    return logits


def mlx_logits(model: Any) -> np.ndarray[Any, Any]:
    return np.array(model(mx.array(IDS)))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_base_says_what_it_says_in_torch_whatever_its_rope(tmp_path: Path, family: str) -> None:
    base = write_random(tmp_path, family)
    theirs = torch_logits(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32))
    model = load.load_base(base)
    np.testing.assert_allclose(mlx_logits(model), theirs, rtol=0, atol=1e-5)
    picked = picking.logits_at(model, mx.array(IDS), mx.array([3, 47]))
    np.testing.assert_allclose(np.array(picked), theirs.reshape(80, -1)[[3, 47]], rtol=0, atol=1e-5)


def test_without_what_is_written_for_it_mlx_would_read_another_rope(tmp_path: Path) -> None:
    """The trap itself: were it gone from mlx_lm, pipelines/backends/mlx/config.py could go too."""
    from mlx_lm.utils import load_model

    base = write_random(tmp_path, "qwen2")
    theirs = torch_logits(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32))
    stock, _ = load_model(base)
    assert np.abs(mlx_logits(stock) - theirs).max() > 1e-3


def test_layers_that_do_not_take_turns_evenly_are_refused(tmp_path: Path) -> None:
    uneven = ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]
    base = write_random(tmp_path, "gemma3", layer_types=uneven)
    with pytest.raises(ModelError, match="do not take turns evenly; use another"):
        load.load_base(base)


@pytest.mark.parametrize("name", ["models/tyni", "Qwen/Qwen2.5-0.5B-Instruct", "mlx-community/gemma-3"])
def test_a_mistyped_folder_is_an_error_and_no_look_up(name: str) -> None:
    with pytest.raises(ModelError, match="is not a local model folder: it has no config.json"):
        load.load_base(Path(name))


def test_importing_mlx_lm_leaves_the_limit_of_open_files_as_it_is() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    script = (
        "import resource; before = resource.getrlimit(resource.RLIMIT_NOFILE); "
        "from pipelines.backends.open import open_backend; open_backend('mlx'); import sys; "
        "assert 'mlx_lm.utils' in sys.modules and resource.getrlimit(resource.RLIMIT_NOFILE) == before"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=child_environment())
    assert done.returncode == 0, done.stderr
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)


@pytest.mark.parametrize(
    ("libc", "sentence"),
    [
        (("glibc", "2.31"), "a Linux with glibc 2.35, and this Linux has glibc 2.31; use `backend: auto`"),
        (
            ("glibc", "2.36"),
            r"cannot be imported here \(No module named 'mlx'\): pip install 'perennial-service\[mlx\]'",
        ),
        (("", ""), r"cannot be imported here \(No module named 'mlx'\)"),
    ],
    ids=["old-glibc", "glibc", "no-glibc"],
)
def test_a_machine_without_mlx_is_told_so_in_one_sentence(libc: tuple[str, str], sentence: str) -> None:
    with pytest.raises(MissingDependency, match=sentence):
        raise MissingDependency(why_missing(ImportError("No module named 'mlx'"), libc))


def test_without_mlx_the_other_backends_go_on_and_the_mlx_backend_says_what_is_missing() -> None:
    script = (
        "import sys; sys.modules['mlx'] = None; sys.modules['mlx.core'] = None\n"
        "from pipelines.backends.open import open_backend\n"
        "open_backend('cpu')\n"
        "try: open_backend('mlx')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=child_environment())
    assert done.returncode == 0 and done.stdout.startswith("MissingDependency `backend: mlx` needs mlx and mlx-lm"), (
        done
    )


# ---- adapters -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("base") / "model", "qwen2")


def write_peft(base: Path, folder: Path, *, dora: bool) -> Any:
    """A PEFT adapter all of whose parts have moved, and the model with it."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=12, use_dora=dora, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            weight.data = 0.05 * torch.randn_like(weight)
        if "magnitude" in name:
            weight.data = weight.data * (1 + 0.1 * torch.randn_like(weight))
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return adapted


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_a_peft_adapter_says_the_same_in_mlx_and_comes_back_bit_by_bit(base: Path, tmp_path: Path, dora: bool) -> None:
    theirs = torch_logits(write_peft(base, tmp_path / "peft", dora=dora))
    train = Train(backend="mlx", lora=Lora(r=4, alpha=12, dora=dora))
    model, adapter = load.load_adapted(base, "random", tmp_path / "peft", train, bf16=False)
    assert np.abs(mlx_logits(load.load_base(base)) - theirs).max() > 0.01
    np.testing.assert_allclose(mlx_logits(model), theirs, rtol=0, atol=1e-5)
    weights.continued_writer(model, "random", adapter)(tmp_path / "back")
    before, after = (mx.load(str(tmp_path / name / "adapter_model.safetensors")) for name in ("peft", "back"))
    assert before.keys() == after.keys() and len(before) == 14 * (3 if dora else 2)
    assert all(mx.array_equal(before[name], after[name]).item() for name in before)


def test_peft_reads_what_mlx_writes(base: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    write_peft(base, tmp_path / "first", dora=True)
    train = Train(backend="mlx", lora=Lora(r=4, alpha=12, dora=True))
    model, adapter = load.load_adapted(base, "random", tmp_path / "first", train, bf16=False)
    weights.continued_writer(model, "random", adapter)(tmp_path / "second")
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(plain, str(tmp_path / "second"))
    np.testing.assert_allclose(torch_logits(theirs), mlx_logits(model), rtol=0, atol=1e-5)


def test_switching_the_adapter_off_gives_the_origin_back(base: Path, tmp_path: Path) -> None:
    write_peft(base, tmp_path / "peft", dora=True)
    model, _ = load.load_adapted(base, "random", tmp_path / "peft", Train(backend="mlx"), bf16=False)
    with adapters.adapter_off(model):
        np.testing.assert_array_equal(mlx_logits(model), mlx_logits(load.load_base(base)))
    assert np.abs(mlx_logits(model) - mlx_logits(load.load_base(base))).max() > 0.01


@pytest.mark.parametrize(
    ("target", "count"), [("all-linear", 14), (("q_proj", "v_proj"), 4), (("layers.1.mlp.up_proj",), 1)]
)
def test_targets_are_found_in_every_layer_as_peft_finds_them(base: Path, target: Any, count: int) -> None:
    model = load.load_base(base)
    assert len(adapters.attach(model, target, rank=2, scale=1.0, dropout=0.0, dora=False)) == count


def test_a_target_that_fits_no_layer_is_refused(base: Path) -> None:
    train = Train(backend="mlx", lora=Lora(target=("q_poj",)))
    with pytest.raises(RecipeError, match="train.lora.target fits no layer of models/random: q_poj"):
        load.load_for_sft(base, "models/random", train, bf16=False)


def _without_a_matrix(tensors: dict[str, Any]) -> None:
    tensors.pop(next(iter(tensors)))


def _of_another_width(tensors: dict[str, Any]) -> None:
    name = next(name for name in tensors if "lora_A" in name)
    tensors[name] = mx.zeros((4, 32))


def _with_a_head(tensors: dict[str, Any]) -> None:
    tensors["base_model.model.score.weight"] = mx.zeros((4, 4))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_without_a_matrix, "the adapter does not fit models/random"),
        (_of_another_width, "the adapter does not fit models/random"),
        (_with_a_head, "which is no matrix of LoRA or DoRA"),
    ],
    ids=["half", "width", "head"],
)
def test_an_adapter_that_does_not_fit_is_refused(
    base: Path, tmp_path: Path, spoil: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    write_peft(base, tmp_path, dora=False)
    path = str(tmp_path / "adapter_model.safetensors")
    tensors = dict(mx.load(path))
    mx.eval(tensors)
    spoil(tensors)
    mx.save_safetensors(path, tensors)
    with pytest.raises(ModelError, match=sentence):
        load.load_adapted(base, "models/random", tmp_path, Train(backend="mlx"), bf16=False)


# ---- 4 bits ---------------------------------------------------------------------------------------------------------


def test_four_bits_are_for_the_matrices_of_the_layers_alone(make_base: MakeBase) -> None:
    model = load.load_base(make_base(hidden_size=64, intermediate_size=96), quantized=True)
    import mlx.nn as nn

    kinds = {name: isinstance(module, nn.QuantizedLinear) for name, module in model.named_modules()}
    assert kinds["model.layers.0.self_attn.q_proj"] and kinds["model.layers.1.mlp.up_proj"]
    assert not kinds["model.layers.0.mlp.down_proj"]  # 96 columns are no whole groups of 64
    assert not kinds["model.embed_tokens"]
