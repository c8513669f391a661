"""What training holds in memory, and what fits where it is too much."""

from pathlib import Path

import pytest

from pipelines.errors import InputError
from pipelines.forecast.machine import other_machine, with_wired_limit
from pipelines.forecast.memory import memory_outlook, training_memory, usable_bytes
from pipelines.forecast.model_size import Shape, shape_of
from pipelines.recipe import Train
from pipelines.recipe_file import load_recipe

GUIDE = load_recipe(Path(__file__).resolve().parents[3] / "data" / "recipes" / "eden-qwen2.5-32b.yaml").train


def shape(name: str) -> Shape:
    known = shape_of(name, None)
    assert known is not None
    return known


def test_the_guides_recipe_does_not_fit_a_mac_of_36_gb_and_the_nearest_that_does_is_offered() -> None:
    mac = other_machine("mlx", "36GB")
    assert mac is not None
    outlook = memory_outlook(GUIDE, shape("qwen2.5-32b"), mac)
    # SCIENCE section 6: 18.3 GB of weights, 8.6 GB of a rank of 64 with Adam, 27 GB that macOS lets the GPU hold
    assert outlook.need.weights / 1e9 == pytest.approx(18.3, abs=0.2)
    assert outlook.need.trained / 1e9 == pytest.approx(8.6, abs=0.1)
    assert outlook.usable_bytes / 1e9 == pytest.approx(27.0) and not outlook.fits
    nearest = outlook.nearest
    assert nearest is not None and nearest.lora.r == 16 and nearest.batch.per_device == 1
    assert nearest.batch.accumulate == 32 and nearest.lora.alpha / nearest.lora.r == GUIDE.lora.alpha / GUIDE.lora.r
    assert memory_outlook(nearest, shape("qwen2.5-32b"), mac).fits


def test_settings_that_fit_are_left_alone_and_no_way_out_is_said() -> None:
    mac = other_machine("mlx", "36GB")
    assert mac is not None
    assert memory_outlook(GUIDE, shape("qwen2.5-7b"), mac).fits
    small = memory_outlook(GUIDE, shape("qwen2.5-72b"), mac)
    assert not small.fits and small.nearest is None


def test_a_change_that_is_not_needed_is_taken_back() -> None:
    cuda = other_machine("cuda", "24GB")
    assert cuda is not None
    wide = Train.model_validate({"method": "lora", "batch": {"per_device": 2, "accumulate": 8}, "max_tokens": 1024})
    nearest = memory_outlook(wide, shape("qwen2.5-14b"), cuda).nearest
    assert nearest is not None and nearest.method == "qlora" and nearest.batch == wide.batch


def test_a_raised_limit_counts_instead_of_three_quarters() -> None:
    mac = other_machine("mlx", "36GB")
    assert mac is not None and usable_bytes(mac) == 27 * 10**9
    assert usable_bytes(mac.model_copy(update={"limit_bytes": 33 * 10**9})) == 33 * 10**9
    gpu = other_machine("cuda", "24GB")
    assert gpu is not None and usable_bytes(gpu) == 24 * 10**9


@pytest.mark.parametrize(("said", "limit"), [("33000", 33_000 << 20), ("0", None), ("", None)])
def test_the_limit_that_somebody_set_is_read_on_a_mac(tmp_path: Path, said: str, limit: int | None) -> None:
    sysctl = tmp_path / "sysctl"
    sysctl.write_text(f'#!/bin/sh\n[ "$2" = iogpu.wired_limit_mb ] && echo {said}\n')
    sysctl.chmod(0o755)
    mac, gpu = other_machine("mlx", "36GB"), other_machine("cuda", "24GB")
    assert mac is not None and gpu is not None
    assert with_wired_limit(mac, str(sysctl)).limit_bytes == limit
    assert with_wired_limit(gpu, str(sysctl)) == gpu and with_wired_limit(mac, str(tmp_path / "gone")) == mac


@pytest.mark.parametrize(
    ("device", "bf16", "precision", "half"),
    [
        ("cpu", None, "auto", False),
        ("mlx", None, "auto", True),
        ("cuda", False, "auto", False),
        ("cuda", True, "float32", False),
        ("cpu", None, "bfloat16", True),
    ],
)
def test_weights_are_as_wide_as_the_precision_in_which_they_are_held(
    device: str, bf16: bool | None, precision: str, half: bool
) -> None:
    machine = other_machine(device, "36GB")
    assert machine is not None
    train = Train.model_validate({"precision": precision})
    weights = training_memory(train, shape("qwen2.5-0.5b"), machine.model_copy(update={"bf16": bf16})).weights
    assert weights == pytest.approx(shape("qwen2.5-0.5b").parameters * (2 if half else 4))


def test_logits_are_held_a_chunk_at_a_time() -> None:
    cpu = other_machine("cpu", "16GB")
    assert cpu is not None
    short, long = (
        training_memory(Train(max_tokens=tokens), shape("qwen2.5-0.5b"), cpu, tokens) for tokens in (512, 2048)
    )
    assert short.logits == long.logits < 512 * 151_936 * 4


@pytest.mark.parametrize(
    ("device", "memory", "sentence"),
    [
        ("mlx", "", "described by both"),
        ("", "36GB", "described by both"),
        ("metal", "36GB", "no device is called 'metal'; there are cuda, mps, mlx, cpu"),
        ("mlx", "much", "'much' is no size of memory; say --memory 36GB"),
    ],
)
def test_another_machine_is_described_by_device_and_memory(device: str, memory: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        other_machine(device, memory)


@pytest.mark.parametrize(("memory", "bytes_"), [("36GB", 36e9), ("36 GB", 36e9), ("0.5TB", 5e11), ("800m", 8e8)])
def test_memory_is_read_as_people_write_it(memory: str, bytes_: float) -> None:
    machine = other_machine("cpu", memory)
    assert machine is not None and machine.memory_bytes == bytes_


def test_this_machine_is_meant_where_no_other_is_described() -> None:
    assert other_machine("", "") is None
