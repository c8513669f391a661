"""When a round may run: at night, on power, cool. What a recipe's `schedule.only` forbids waits, or pauses at a checkpoint.

macOS:  `pmset -g batt`    Now drawing from 'Battery Power'
        `pmset -g therm`   CPU_Speed_Limit         = 62
Linux:  /sys/class/power_supply/BAT0/{type,status}, /sys/class/thermal/thermal_zone0/{temp,trip_point_0_temp,trip_point_0_type}
"""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pipelines.backends.checkpoints import SEAL
from pipelines.errors import RecipeError
from pipelines.recipe import Only
from pipelines.recipe_file import parse_recipe
from service.store.tables import Round

LOOK_AGAIN_SECONDS = 60.0
_GRACE_SECONDS = 600.0  # a checkpoint that takes longer to come is not waited for
_PMSET_SECONDS = 10.0
_SPEED = re.compile(r"CPU_Speed_Limit\s*=\s*(\d+)")
_TRAINING = ("train", "prefer")


def _here() -> datetime:
    return datetime.now().astimezone()


@dataclass(frozen=True)
class Surroundings:
    """Where power, heat and the time of day are read."""

    sysfs: Path = Path("/sys/class")
    pmset: str | None = field(default_factory=lambda: shutil.which("pmset"))
    now: Callable[[], datetime] = _here


def only_of(row: Round) -> Only | None:
    """When this round may run; None for at any time."""
    try:
        schedule = parse_recipe(row.recipe, f"of round {row.id}").schedule
    except RecipeError:  # the round says so itself
        return None
    return schedule.only if schedule else None


def objection(only: Only | None, around: Surroundings) -> str | None:
    """Why a round may not run now, as a sentence for people; None if nothing speaks against it."""
    if only is None:
        return None
    if not only.in_hours(around.now().time()):
        return f"it waits for its hours, {only.hours} by this machine's clock"
    if only.power and not on_power(around):
        return "it waits for power: this machine runs on its battery"
    if only.cool and is_hot(around):
        return "it waits for this machine to cool down"
    return None


def on_power(around: Surroundings) -> bool:
    """Whether the machine is on mains; one without a battery is."""
    if around.pmset is not None:
        return "'Battery Power'" not in _ask(around.pmset, "batt")
    supplies = list(around.sysfs.glob("power_supply/*"))
    if any(_read(supply / "online") == "1" for supply in supplies if _read(supply / "type") in ("Mains", "USB")):
        return True
    batteries = [supply for supply in supplies if _read(supply / "type") == "Battery" and not _is_of_a_device(supply)]
    return not any(_read(battery / "status") == "Discharging" for battery in batteries)


def is_hot(around: Surroundings) -> bool:
    """Whether the processor is slowed down by heat, or a zone is where the system begins to."""
    if around.pmset is not None:
        limits = [int(limit) for limit in _SPEED.findall(_ask(around.pmset, "therm"))]
        return any(limit < 100 for limit in limits)
    return any(_is_hot(zone) for zone in around.sysfs.glob("thermal/thermal_zone*"))


class Pause:
    """Says when a running round is to pause: at the next checkpoint of its training, or at once where none is written."""

    def __init__(
        self, only: Only | None, folder: Path, around: Surroundings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._only, self._folder, self._around, self._clock = only, folder, around, clock
        self._looked_at = -LOOK_AGAIN_SECONDS
        self._why: str | None = None
        self._since = 0.0
        self._before: frozenset[Path] = frozenset()

    def due(self) -> str | None:
        """Why the round is to pause now, None where it may go on, or still goes on to its next checkpoint."""
        if self._only is None:
            return None
        if self._clock() - self._looked_at >= LOOK_AGAIN_SECONDS:
            self._look()
        if self._why is None:
            return None
        training = any(any(self._folder.glob(f"attempt-*/{stage}.*.tmp")) for stage in _TRAINING)
        waited = self._clock() - self._since >= _GRACE_SECONDS
        return self._why if not training or waited or self._checkpoints() - self._before else None

    def _look(self) -> None:
        self._looked_at = self._clock()
        before, self._why = self._why, objection(self._only, self._around)
        if before is None and self._why is not None:
            self._since, self._before = self._looked_at, self._checkpoints()

    def _checkpoints(self) -> frozenset[Path]:
        return frozenset(self._folder.glob(f"attempt-*/*.tmp/checkpoints/*/{SEAL}"))


def _ask(pmset: str, what: str) -> str:
    """What pmset says; nothing where it cannot be asked, which objects to nothing."""
    try:
        asked = subprocess.run([pmset, "-g", what], capture_output=True, text=True, timeout=_PMSET_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _is_of_a_device(supply: Path) -> bool:
    """Whether a battery is of a mouse or a headset: those say `scope: Device`."""
    return _read(supply / "scope") == "Device"


def _is_hot(zone: Path) -> bool:
    temperature = _read(zone / "temp")
    return temperature.lstrip("-").isdigit() and any(int(temperature) >= limit for limit in _limits(zone))


def _limits(zone: Path) -> Iterator[int]:
    """The temperatures at which the system begins to slow down, in thousandths of a degree."""
    for kind in zone.glob("trip_point_*_type"):
        limit = _read(zone / kind.name.replace("_type", "_temp"))
        if _read(kind) in ("passive", "hot", "critical") and limit.isdigit() and int(limit) > 0:
            yield int(limit)
