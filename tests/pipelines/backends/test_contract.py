"""The contract of backends, on every one that this machine can open."""

from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines.backends.base import BackendName, Machine
from pipelines.backends.launch import look_at_machine
from pipelines.backends.open import BACKENDS
from pipelines.errors import PerennialError
from pipelines.recipe import Train
from tests.pipelines.backends.contract import *  # noqa: F403
from tests.pipelines.backends.contract import Run, run_whole


class Place(NamedTuple):
    """A backend's name, and what it trains on here."""

    device: BackendName
    machine: Machine


@pytest.fixture(scope="module", params=[name for name in BACKENDS if name != "auto"])
def place(request: pytest.FixtureRequest) -> Place:
    """Looked at once: every look is a process of its own."""
    try:
        return Place(request.param, look_at_machine(Train(backend=request.param)))
    except PerennialError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def device(place: Place) -> BackendName:
    """A backend's name."""
    return place.device


@pytest.fixture(scope="module")
def machine(place: Place) -> Machine:
    """What it trains on here."""
    return place.machine


@pytest.fixture(scope="module")
def whole(device: BackendName, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of SFT."""
    return run_whole(device, tiny_base, tmp_path_factory.mktemp("whole"), ending="1, 2, 3!")
