"""The child process that trains: `python -m pipelines.backends.child out/request.json`.

    {"kind": "prefer", "request": {"base": "/models/tiny", "method": "kto", ...}}     or "kind": "train"

It ends when its standard input closes, so a parent killed with -9 leaves no orphan behind that goes on writing.
It leaves `result.json`, or `error.json` {"kind": "TrainingError", "message": "..."} and exit status 1.
"""

import json
import os
import sys
import threading
import traceback
from pathlib import Path

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DISABLE_MLFLOW_INTEGRATION": "TRUE",
    "WANDB_DISABLED": "true",
    "TOKENIZERS_PARALLELISM": "false",
    "BITSANDBYTES_NOWELCOME": "1",
    "USE_HUB_KERNELS": "0",
    "OMP_WAIT_POLICY": "PASSIVE",
}
ORPHANED = 3


def main(path: Path) -> int:
    """Train as the request file says; the exit status."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from pydantic import TypeAdapter

    from pipelines.backends.base import Job, TrainJob
    from pipelines.backends.open import open_backend
    from pipelines.errors import PerennialError, TrainingError

    out = path.parent
    try:
        job: Job = TypeAdapter(Job).validate_json(path.read_text(encoding="utf-8"))
        backend = open_backend(job.request.train.backend)
        result = backend.train(job.request, out) if isinstance(job, TrainJob) else backend.prefer(job.request, out)
    except PerennialError as error:
        return _fail(out, error)
    except MemoryError:
        return _fail(out, TrainingError("training ran out of memory; lower batch.per_device or train.max_tokens"))
    except Exception as error:
        traceback.print_exc()
        return _fail(out, TrainingError(f"training stopped with {type(error).__name__}: {_first_line(error)}"))
    (out / "result.json").write_text(result.model_dump_json(indent=1), encoding="utf-8")
    return 0


def _end_with_parent() -> None:
    """Wait for the parent's end of the pipe to close; only its death or its wish closes it."""
    standard_input = 0
    while os.read(standard_input, 4096):  # not sys.stdin: a thread in its lock aborts the interpreter's exit
        pass
    os._exit(ORPHANED)


def _fail(out: Path, error: Exception) -> int:
    report = {"kind": type(error).__name__, "message": str(error)}
    (out / "error.json").write_text(json.dumps(report, ensure_ascii=False), encoding="utf-8")
    return 1


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else "no message"


if __name__ == "__main__":
    os.environ.update(_ENVIRONMENT)
    sys.exit(main(Path(sys.argv[1])))
