"""Streaming merge against peft's merge_and_unload: peak anonymous memory, seconds, and the same bytes.

Both run in a process of their own on a random-weight Qwen2 of more than 1 B parameters in bfloat16.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from pipelines.gguf.tensors import Checkpoint, row_blocks
from pipelines.isolated import child_environment

SHAPE = {
    "vocab_size": 32000,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
RANK = 16
_LAYERS_PER_SHARD = 3


def run() -> dict[str, Any]:
    """Ratios of the streaming merge to peft's; needs 7 GB of disk and 4 GB of memory for a few minutes."""
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as name:
        folder = Path(name)
        parameters = _write_base(folder / "base")
        _write_adapter(folder / "adapter")
        ours = _measured("streaming", folder)
        theirs = _measured("peft", folder)
        identical = _same_tensors(folder / "streaming", folder / "peft")
    return {
        "parameters": parameters,
        "bit_identical": identical,
        "streaming": ours,
        "merge_and_unload": theirs,
        "memory_ratio": round(ours["peak_anonymous_mb"] / theirs["peak_anonymous_mb"], 3),
        "seconds_ratio": round(ours["seconds"] / theirs["seconds"], 3),
        "target": "bit-identical at a quarter of the peak anonymous memory or less",
    }


def _write_base(folder: Path) -> int:
    """Random bfloat16 weights in shards of a few layers, written a shard at a time; how many parameters."""
    from safetensors.torch import save_file
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder.mkdir()
    config = Qwen2Config(**SHAPE)
    config.save_pretrained(folder)
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in Qwen2ForCausalLM(config).state_dict().items()}
    shapes.pop("lm_head.weight")
    noise = torch.randn(1 << 24, generator=torch.Generator().manual_seed(0)).mul_(0.02).to(torch.bfloat16)
    shards: dict[str, dict[str, torch.Tensor]] = {}
    weight_map = {}
    for place, (name, shape) in enumerate(shapes.items()):
        parts = name.split(".")
        number = int(parts[2]) // _LAYERS_PER_SHARD + 1 if parts[1] == "layers" else 0
        file = f"model-{number:05d}.safetensors"
        weight_map[name] = file
        count = torch.Size(shape).numel()
        rolled = noise.roll(place * 977).repeat(count // len(noise) + 1)[:count]
        shards.setdefault(file, {})[name] = rolled.reshape(shape).clone()
    for file in sorted(shards):
        save_file(shards.pop(file), folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return sum(torch.Size(shape).numel() for shape in shapes.values())


def _write_adapter(folder: Path) -> None:
    """A random rank-16 LoRA on every linear layer, as peft saves it."""
    from safetensors.torch import save_file

    hidden, inner = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    keys = hidden // SHAPE["num_attention_heads"] * SHAPE["num_key_value_heads"]
    sizes = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (hidden, keys),
        "self_attn.v_proj": (hidden, keys),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (hidden, inner),
        "mlp.up_proj": (hidden, inner),
        "mlp.down_proj": (inner, hidden),
    }
    generator, tensors = torch.Generator().manual_seed(1), {}
    for layer in range(SHAPE["num_hidden_layers"]):
        for module, (wide, out) in sizes.items():
            stem = f"base_model.model.model.layers.{layer}.{module}"
            tensors[f"{stem}.lora_A.weight"] = torch.randn(RANK, wide, generator=generator) * 0.02
            tensors[f"{stem}.lora_B.weight"] = torch.randn(out, RANK, generator=generator) * 0.02
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": 32,
        "target_modules": [module.rpartition(".")[2] for module in sizes],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))


def _measured(way: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.merge", way, str(folder)]
    done = subprocess.run(command, env=child_environment(), capture_output=True)
    if done.returncode:
        raise RuntimeError(f"the {way} merge failed: {done.stderr.decode().strip().splitlines()[-1]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _merge_streaming(folder: Path) -> None:
    from pipelines.gguf.merge import merge

    merge(folder / "base", folder / "adapter", folder / "streaming")


def _merge_with_peft(folder: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.bfloat16)
    merged: Any = PeftModel.from_pretrained(model, str(folder / "adapter")).merge_and_unload()
    merged.save_pretrained(folder / "peft")


def _same_tensors(ours: Path, theirs: Path) -> bool:
    left, right = Checkpoint(ours), Checkpoint(theirs)
    return set(left.tensors) == set(right.tensors) and all(
        torch.equal(left.read(name, *block), right.read(name, *block))
        for name, info in left.tensors.items()
        for block in row_blocks(info)
    )


class _PeakMemory(threading.Thread):
    """The highest anonymous memory of this process, in bytes, looked at a hundred times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self._done = 0, threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.01):
            lines = Path("/proc/self/status").read_text().splitlines()
            now = next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))
            self.peak = max(self.peak, now)

    def stop(self) -> int:
        self._done.set()
        self.join()
        return self.peak


def main(way: str, folder: Path) -> None:
    """One of the two ways, measured; prints its figures as the last line."""
    torch.set_num_threads(1)
    memory = _PeakMemory()
    memory.start()
    started, cpu = time.monotonic(), time.process_time()
    {"streaming": _merge_streaming, "peft": _merge_with_peft}[way](folder)
    figures = {
        "peak_anonymous_mb": round(memory.stop() / (1 << 20)),
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
