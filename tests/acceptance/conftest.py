"""The demo itself, run as its reader would, once per session and recipe."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SUITES = {"tiny_kmmlu", "tiny_mmlu", "tiny_humaneval", "tiny_math"}


@dataclass(frozen=True)
class Turn:
    """What `perennial demo --exit` left behind."""

    status: int
    output: str
    home: Path
    summary: dict[str, Any]


Demo = Callable[[str], Turn]


@pytest.fixture(scope="session")
def turn(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Runs the demo with a recipe of data/recipes, the first time it is asked for."""
    done: dict[str, Turn] = {}

    def run(recipe: str) -> Turn:
        if recipe not in done:
            done[recipe] = _run(recipe, tmp_path_factory.mktemp("demo") / "home")
        return done[recipe]

    return run


def _run(recipe: str, home: Path) -> Turn:
    command = [sys.executable, "-m", "service.cli", "demo", "--exit", "--home", str(home)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PERENNIAL_")}
    ended = subprocess.run(
        [*command, "--recipe", f"data/recipes/{recipe}.yaml"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    output = ended.stdout + ended.stderr
    path = home / "summary.json"
    assert path.is_file(), output[-4000:]
    return Turn(ended.returncode, output, home, json.loads(path.read_text(encoding="utf-8")))
