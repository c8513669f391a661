"""What a process of the pool does. It must be able to import this by name, so it is not in __main__."""

import os
from pathlib import Path
from typing import Any

HOME = Path("var/experiments")


def core(run: Any) -> Path:
    """One run of the core grid."""
    from experiments.arm import run_arm

    return run_arm(run, HOME / "runs" / run.name, HOME / "reference" / "adapter")


def poison(run: Any) -> Path:
    """One poisoning."""
    from experiments.poison import run_poison

    return run_poison(run, HOME / "runs" / f"poison-{run.name}", HOME / "reference" / "adapter")


def be_quiet() -> None:
    """One thread per run, no call home, and the libraries' chatter goes to a log."""
    os.environ.update(
        OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false"
    )
    HOME.mkdir(parents=True, exist_ok=True)
    log = os.open(HOME / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
