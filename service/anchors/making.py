"""Has a base write its own anchors, in a child process that is followed line by line."""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pipelines.anchors.author import sampling_of
from pipelines.anchors.frames import FAMILIES
from pipelines.anchors.sets import SetCard
from pipelines.errors import Busy, InputError
from pipelines.isolated import Child
from pipelines.progress import PROGRESS_FILE, read_progress
from pipelines.stages.baseline import prepare_origin
from service.anchors.bases import NamedBase
from service.settings import Settings

Show = Callable[[float, float, str], None]
Say = Callable[[str], None]
_MAKER = "pipelines.anchors.make:open_here"
_FORECAST_SECONDS = 600.0
_NO_END = 366 * 24 * 3600.0


class MadeSet(NamedTuple):
    """A set in its folder, and the families of which the base gave too few good answers."""

    folder: Path
    card: SetCard
    short: tuple[str, ...]


class Forecast(NamedTuple):
    """What is left to write before it begins, and how long that takes at the pace just measured."""

    left: int
    tokens: int
    speed: float

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.tokens / self.speed


def chosen_families(wanted: str | None) -> tuple[str, ...]:
    """The families of a list with commas, all without one. Raises InputError for a word that is none."""
    names = [name.strip() for name in wanted.split(",") if name.strip()] if wanted is not None else list(FAMILIES)
    unknown = [name for name in names if name not in FAMILIES]
    if unknown or not names:
        said = f"'{unknown[0]}' is no family of anchors" if unknown else "no family of anchors is named"
        raise InputError(f"{said}: there are {', '.join(FAMILIES)}")
    return tuple(name for name in FAMILIES if name in names)


def make_set(
    settings: Settings,
    base: NamedBase,
    *,
    count: int,
    seed: int,
    families: Sequence[str],
    say: Callable[[Forecast], None],
    show: Show,
) -> MadeSet:
    """Have the base write its set, or go on where an earlier run stopped; `say` hears the forecast first.

    Raises:
        Busy: another process writes this set. InputError: fewer anchors than families.
        DataError: the set was begun on other terms. GGUFError, ModelError: the base cannot be served.
        ChildCrashed: the base crashes llama.cpp.
    """
    if count < len(families):
        raise InputError(
            f"{count} anchors are fewer than the {len(families)} families: ask for more, or name --families"
        )
    folder = settings.anchors / base.set_name
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        origin = prepare_origin(base.folder, base.quantize, settings.models)
        request = {
            "base": base.identity.model_dump(),
            "form": origin.form.model_dump(mode="json"),
            "sampling": sampling_of(base.folder.folder).model_dump(),
            "folder": str(folder.resolve()),
            "count": count,
            "seed": seed,
            "families": list(families),
        }
        (folder / PROGRESS_FILE).unlink(missing_ok=True)
        with Child(_MAKER, request, log=folder / "make.log") as child:
            child.answer(_FORECAST_SECONDS)
            told = child.ask({"forecast": True}, _FORECAST_SECONDS)
            say(Forecast(told["left"], told["tokens"], told["speed"]))
            made = child.ask({}, _NO_END, lambda: _show_last(folder, show))
    return MadeSet(folder, SetCard.model_validate_json(made["card"]), tuple(made["given_up"]))


def _show_last(folder: Path, show: Show) -> None:
    lines = read_progress(folder / PROGRESS_FILE)
    if lines:
        show(lines[-1]["done"], lines[-1]["total"], str(lines[-1].get("message", "")))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "make.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"another process writes the anchors '{folder.name}' already; wait for its end") from error
        yield
