"""What a training job does in its child process; nothing imports this module, it is called by name."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pipelines.backends.base import CalibrateRequest, Job, TrainJob
from pipelines.backends.open import needed_packages, open_backend
from pipelines.errors import PerennialError, TrainingError
from pipelines.recipe import Train


def run_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """Train as the job says, in the folder `out`; the output record as a dict."""
    job: Job = TypeAdapter(Job).validate_python(arguments["job"])
    out = Path(arguments["out"])
    _leave_bitsandbytes_out(job.request.train)
    backend = open_backend(job.request.train.backend)
    with _sentences("training"):
        result = backend.train(job.request, out) if isinstance(job, TrainJob) else backend.prefer(job.request, out)
    return result.model_dump(mode="json")


def calibrate_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """The pace of training as the request says."""
    request = CalibrateRequest.model_validate(arguments)
    _leave_bitsandbytes_out(request.train)
    backend = open_backend(request.train.backend)
    with _sentences("timing"):
        return backend.calibrate(request).model_dump(mode="json")


def machine_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """What the backend of a device trains on here."""
    device = arguments["device"]
    return open_backend(device).machine(device).model_dump(mode="json")


@contextmanager
def _sentences(what: str) -> Iterator[None]:
    """Every error of a library as one of ours; its trace goes into the job's log."""
    try:
        with needed_packages():
            yield
    except PerennialError:
        raise
    except MemoryError:
        raise TrainingError(f"{what} ran out of memory; lower batch.per_device or train.max_tokens") from None
    except Exception as error:
        traceback.print_exc()
        raise TrainingError(f"{what} stopped with {type(error).__name__}: {_first_line(error)}") from error


def _leave_bitsandbytes_out(train: Train) -> None:
    """peft imports it wherever it is installed: a second, and a warning in the log, that only 4-bit weights and 8-bit optimizers need."""
    if train.method != "qlora" and train.optimizer == "adamw_torch":
        sys.modules.setdefault("bitsandbytes", None)  # type: ignore[arg-type]  # as if it were not installed


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else "no message"
