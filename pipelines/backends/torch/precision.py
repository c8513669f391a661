"""float32 or bfloat16: whichever trains one row sooner on the machine at hand, with the seconds of both.

What the processor claims is not read: a row is timed (pipelines/timing.py).
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, set_seed

from pipelines.backends.torch.device import Choices, memory_bytes
from pipelines.backends.torch.load import count_parameters, load_model
from pipelines.recipe import Train
from pipelines.timing import faster_precision

_PROBE_LAYERS = 2
_PROBE_VOCABULARY = 4096
_MEMORY_SHARE = 0.6


def with_measured_precision(base: Path, train: Train, choices: Choices, before: bool | None = None) -> Choices:
    """`choices` with the precision that the recipe names or, for `auto` on a CPU, that trains one row sooner here.

    Args:
        before: what an interrupted run used; it goes on so, since its weights could not resume exactly otherwise.
    """
    if before is not None:
        return _take(choices, before, "as before the interruption")
    if train.precision != "auto":
        return _take(choices, train.precision == "bfloat16", "as the recipe asks")
    if choices.device != "cpu":
        return choices
    if (large := count_parameters(base) * 4) > _MEMORY_SHARE * memory_bytes() and train.method != "qlora":
        return _take(choices, True, f"float32 weights of {large / 1e9:.0f} GB would not fit into this machine's memory")
    try:
        bf16, why = _time_one_row(base, train, choices)
    except (OSError, ValueError, RuntimeError, KeyError, IndexError, AttributeError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        return _take(choices, False, f"a shortened copy of this model could not be timed ({lines[0]})")
    return _take(choices, bf16, why)


def _take(choices: Choices, bf16: bool, why: str) -> Choices:
    name = "bfloat16 autocast" if bf16 else "float32"
    return replace(choices, bf16=bf16, why=choices.why | {"precision": f"{name}: {why}"})


def _time_one_row(base: Path, train: Train, choices: Choices) -> tuple[bool, str]:
    """Forward and backward of one row through the model's first layers with random weights, loaded as for training."""
    with tempfile.TemporaryDirectory(prefix="perennial-precision-") as folder, torch.random.fork_rng():
        set_seed(0)
        copy = Path(folder)
        vocabulary = _write_shortened(base, copy)
        ids = torch.randint(vocabulary, (1, choices.row_tokens))
        places = torch.arange(choices.row_tokens // 2, choices.row_tokens)
        models = {
            bf16: load_model(copy, base.name, train, replace(choices, bf16=bf16)).train() for bf16 in (False, True)
        }

        def row(bf16: bool) -> None:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                logits = models[bf16](input_ids=ids, use_cache=False, logits_to_keep=places).logits
            logits.float().logsumexp(-1).sum().backward()

        return faster_precision(row)


def _write_shortened(base: Path, out: Path) -> int:
    """A model of the same widths with few layers and tokens, random weights; the size of its vocabulary."""
    config: Any = AutoConfig.from_pretrained(base, local_files_only=True)
    layers = min(_PROBE_LAYERS, config.num_hidden_layers)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    config.vocab_size = min(_PROBE_VOCABULARY, config.vocab_size)
    config.pad_token_id = config.bos_token_id = config.eos_token_id = None
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.generation_config = GenerationConfig()  # the base's token ids lie outside the shortened vocabulary
    model.save_pretrained(out)
    return int(config.vocab_size)
