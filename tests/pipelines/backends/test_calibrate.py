"""What training costs here, from a few rows through the trainer itself."""

import time
from pathlib import Path

import pytest

from pipelines.backends.base import BackendName, CalibrateRequest
from pipelines.backends.open import open_backend
from pipelines.recipe import Train


@pytest.mark.parametrize("backend", ["cpu", "mlx"])
def test_a_step_is_timed_in_its_parts_and_nothing_is_kept(tiny_base: Path, backend: BackendName) -> None:
    if backend == "mlx":
        pytest.importorskip("mlx_lm")
    calibrate = open_backend(backend).calibrate
    train = Train.model_validate(
        {
            "backend": backend,
            "precision": "float32",
            "max_tokens": 128,
            "kl": {"weight": 0.1},
            "batch": {"per_device": 2},
        }
    )
    pace = calibrate(CalibrateRequest(base=tiny_base, train=train, asked_at=time.time(), processor=True, threads=1))
    assert pace.row_tokens == 256 and pace.precision == "float32"
    assert pace.row + 256 * (pace.token + pace.trained) > 0 and pace.read > 0 and pace.start > 0
    assert pace.anchor > 1  # the origin is read as well
    assert pace.memory_bytes > 10**8
