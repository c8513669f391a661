"""The contract of backends, on every one that this machine can open."""

from pathlib import Path

import pytest

from pipelines.backends.base import BackendName
from pipelines.backends.launch import look_at_machine
from pipelines.backends.open import BACKENDS
from pipelines.errors import PerennialError
from pipelines.recipe import Train
from tests.pipelines.backends.contract import *  # noqa: F403
from tests.pipelines.backends.contract import Run, run_whole


@pytest.fixture(scope="module", params=[name for name in BACKENDS if name != "auto"])
def device(request: pytest.FixtureRequest) -> BackendName:
    """A backend's name."""
    name: BackendName = request.param
    try:
        look_at_machine(Train(backend=name))
    except PerennialError as error:
        pytest.skip(str(error))
    return name


@pytest.fixture(scope="module")
def whole(device: BackendName, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of SFT."""
    return run_whole(device, tiny_base, tmp_path_factory.mktemp("whole"), ending="1, 2, 3!")
