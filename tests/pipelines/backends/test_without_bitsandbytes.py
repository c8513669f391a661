"""A machine without bitsandbytes, as every Mac is: an environment of its own that has all the packages but this one."""

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from pipelines.backends.base import TrainRequest
from pipelines.isolated import child_environment
from pipelines.recipe import Train
from tests.pipelines.backends.preferring import sft_example, write_lines

PROJECT = Path(__file__).resolve().parents[3]
SCRIPT = """
import json, sys
from pathlib import Path
from pipelines.backends.base import TrainRequest
from pipelines.backends.launch import look_at_machine, train
from pipelines.errors import TrainingError
request, out = TrainRequest.model_validate_json(sys.stdin.read()), Path(sys.argv[1])
print(json.dumps(look_at_machine(request.train).refuses))
try:
    print(train(request, out).model_dump_json())
except TrainingError as error:
    print(json.dumps(str(error)))
"""
CURE = (
    "`train.method: qlora` needs bitsandbytes, which is not installed: pip install bitsandbytes, or use `method: lora`"
)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of the environment; processes that it starts have the same packages."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if not package.name.startswith("bitsandbytes"):
            (site / package.name).symlink_to(package)
    return folder / "bin" / "python"


def run(python: Path, base: Path, tmp_path: Path, method: str) -> tuple[dict[str, str], object]:
    """What is refused there, and what training there gave: its output, or its sentence."""
    rows = [sft_example(f"c{i}", f"17 + {i}?", f"The answer is {17 + i}.") for i in range(8)]
    request = TrainRequest(
        base=base,
        base_name="models/random",
        train=Train.model_validate({"method": method, "epochs": 1, "max_tokens": 64, "precision": "float32"}),
        train_file=write_lines(tmp_path / "train.jsonl", rows),
        threads=1,
    )
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [str(python), "-P", "-c", SCRIPT, str(tmp_path / "out")],
        input=request.model_dump_json(),
        capture_output=True,
        text=True,
        env=child_environment() | {"PYTHONPATH": str(PROJECT)},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    refuses, result = map(json.loads, done.stdout.splitlines()[-2:])
    return refuses, result


def test_lora_trains_and_the_versions_leave_the_package_out(python: Path, tiny_base: Path, tmp_path: Path) -> None:
    _, result = run(python, tiny_base, tmp_path, "lora")
    assert isinstance(result, dict) and result["steps"] == 1 and result["trained_on"] == "full"
    metrics = json.loads((tmp_path / "out" / "training_metrics.json").read_text())
    assert "torch" in metrics["versions"] and "bitsandbytes" not in metrics["versions"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere mps may be what is refused")
def test_qlora_is_refused_with_the_cure_before_anything_is_loaded(
    python: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    refuses, said = run(python, tokenizer_folder, tmp_path, "qlora")  # a base without weights: reading it would fail
    assert refuses == {"qlora": CURE} and said == CURE
