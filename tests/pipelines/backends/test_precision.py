"""float32 or bfloat16, by the clock of the machine at hand."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.backends.torch.device import choose
from pipelines.backends.torch.precision import with_measured_precision
from pipelines.recipe import Train
from pipelines.timing import faster_precision

PROJECT = Path(__file__).resolve().parents[3]
TINY = PROJECT / "models" / "tiny"
CPU = Train(backend="cpu")


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_a_cpu_takes_the_precision_that_was_faster_and_says_both_figures(method: Any) -> None:
    train = Train(backend="cpu", method=method, max_tokens=128, batch={"per_device": 1, "accumulate": 1})
    choices = with_measured_precision(TINY, train, choose(train, 1, 1))
    words = choices.why["precision"].split()
    wide, half = float(words[words.index("took") + 1]), float(words[words.index("and") + 1])
    assert choices.bf16 == (half < 0.9 * wide)
    assert words[0].startswith("bfloat16" if choices.bf16 else "float32")


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the switches are x86's")
def test_a_cpu_without_bfloat16_instructions_trains_in_float32() -> None:
    script = (
        "from pathlib import Path; from pipelines.recipe import Train\n"
        "from pipelines.backends.torch.device import choose\n"
        "from pipelines.backends.torch.precision import with_measured_precision\n"
        "print(with_measured_precision(Path('models/tiny'), t := Train(backend='cpu'), choose(t, 1, 1)).why['precision'])\n"
    )
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.stdout.startswith("float32: one row took"), done.stderr


def test_a_recipe_that_names_a_precision_gets_it_without_a_trial(tmp_path: Path) -> None:
    for name in ("float32", "bfloat16"):
        train = Train(backend="cpu", precision=name)
        choices = with_measured_precision(tmp_path, train, choose(train, 1, 1))
        assert choices.precision == name and choices.why["precision"].endswith("as the recipe asks")


@pytest.mark.parametrize("before", [True, False])
def test_an_interrupted_run_goes_on_in_the_precision_it_had(before: bool, tmp_path: Path) -> None:
    choices = with_measured_precision(tmp_path, CPU, choose(CPU, 1, 1), before)
    assert choices.bf16 == before and "as before the interruption" in choices.why["precision"]


def test_a_model_that_cannot_be_shortened_trains_in_float32_and_says_why(tmp_path: Path, make_base: Any) -> None:
    base = make_base()
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"model_type": "unheard-of"}))
    choices = with_measured_precision(base, CPU, choose(CPU, 1, 1))
    assert not choices.bf16 and "could not be timed" in choices.why["precision"]


def test_weights_too_large_for_float32_go_into_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.backends.torch.precision.memory_bytes", lambda: 1 << 20)
    choices = with_measured_precision(TINY, CPU, choose(CPU, 1, 1))
    assert choices.bf16 and "would not fit" in choices.why["precision"]


def test_a_gpu_that_only_emulates_bfloat16_gets_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """A T4 says that it supports bfloat16, unless one asks without emulation."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1, 1))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    choices = choose(Train(backend="cuda"), 1, 1)
    assert not choices.bf16 and "no bfloat16 of its own" in choices.why["precision"]


def test_a_gpu_is_not_timed(tmp_path: Path) -> None:
    on_gpu = replace(choose(CPU, 1, 1), device="cuda", bf16=True)
    assert with_measured_precision(tmp_path, CPU, on_gpu) == on_gpu


@pytest.mark.parametrize(("half", "faster"), [(0.0195, False), (0.005, True), (0.3, False)])
def test_bfloat16_must_be_clearly_faster(half: float, faster: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def work(bf16: bool) -> None:
        nonlocal now
        now += half if bf16 else 0.02

    monkeypatch.setattr("pipelines.timing.time.perf_counter", lambda: now)
    assert faster_precision(work) == (faster, f"one row took 0.0200 s in float32 and {half:.4f} s in bfloat16")
