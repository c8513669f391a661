"""The embedded model from nothing."""

import json
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def test_the_tiny_model_trains_from_its_recipe_in_the_faster_precision(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tiny.pretrain", "--out", str(tmp_path / "tiny"), "--steps", "2"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "tiny" / "pretraining.json").read_text())
    assert report["steps"] == 2 and "s in float32 and" in report["precision"]
