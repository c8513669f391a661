"""What there is of the machine that the service runs on: room on the disk, memory, and the card that computes."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from service.room import free_bytes
from service.settings import Settings

_MEMORY = Path("/proc/meminfo")
_SECONDS = 5.0


@dataclass(frozen=True)
class Machine:
    """Bytes; those of memory are None where the system does not tell. `cards` are NVIDIA's, by name with what is used."""

    disk_free: int
    disk_all: int
    memory_free: int | None
    memory_all: int | None
    cards: tuple[str, ...]
    cores: int
    is_mac: bool


def machine_of(settings: Settings) -> Machine:
    """The machine as it is now."""
    told = _memory()
    return Machine(
        disk_free=free_bytes(settings),
        disk_all=shutil.disk_usage(settings.home).total,
        memory_free=told.get("MemAvailable"),
        memory_all=told.get("MemTotal") or _all_memory(),
        cards=_cards(),
        cores=os.cpu_count() or 1,
        is_mac=sys.platform == "darwin",
    )


def _memory() -> dict[str, int]:
    """Linux's figures in bytes by name; none elsewhere."""
    try:
        lines = [line.split() for line in _MEMORY.read_text(encoding="ascii").splitlines()]
    except OSError:
        return {}
    return {words[0].rstrip(":"): int(words[1]) << 10 for words in lines if len(words) == 3}


def _all_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _cards() -> tuple[str, ...]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    asked = [tool, "--query-gpu=name,memory.used,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=_SECONDS).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    cards = [[part.strip() for part in line.split(",")] for line in said.splitlines()]
    return tuple(f"{card[0]}, {card[1]} of {card[2]} MiB" for card in cards if len(card) == 3)
