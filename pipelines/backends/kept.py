"""Weights that a run may go back to: the best on dev, or the last that broke no stop rule."""

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from pipelines.backends.watch import Look, faults
from pipelines.recipe import EarlyStopping, Stops

WriteWeights = Callable[[Path], None]


class KeptWeights:
    """A folder with the weights of some steps."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def at(self, step: int | None) -> Path:
        """Where the weights of a step are."""
        return self._folder / f"step-{step}"

    def keep(self, step: int, write: WriteWeights) -> None:
        """Have the weights written as those of a step."""
        temporary, target = self._folder / "unfinished", self.at(step)
        shutil.rmtree(temporary, ignore_errors=True)
        write(temporary)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)

    def drop_all_but(self, steps: Collection[int | None]) -> None:
        """Remove the weights of every other step."""
        wanted = {self.at(step) for step in steps}
        for path in self._folder.glob("step-*"):
            if path not in wanted:
                shutil.rmtree(path)


class BestOnDev:
    """Keeps the weights with the lowest dev loss and stops when it has not improved for `patience` evaluations.

    An evaluation counts as an improvement only if it beats the best so far by more than `threshold`.
    """

    def __init__(self, rule: EarlyStopping, folder: Path) -> None:
        self._rule, self._weights = rule, KeptWeights(folder)
        self.best_loss: float | None = None
        self.best_step: int | None = None
        self.without_improvement = 0
        self.stopped_early = False
        self.saved_steps: list[int | None] = []

    def state(self) -> dict[str, Any]:
        """What the next checkpoint keeps."""
        names = ("best_loss", "best_step", "without_improvement", "stopped_early")
        return {name: getattr(self, name) for name in names} | {"saved_steps": [*self.saved_steps, self.best_step][-2:]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        for name, value in state.items():
            setattr(self, name, value)

    def saved(self) -> None:
        """A checkpoint was written: weights that neither the run nor one of the last two points to go."""
        self.saved_steps = [*self.saved_steps, self.best_step][-2:]
        self._weights.drop_all_but({*self.saved_steps, self.best_step})

    def judge(self, loss: float, step: int, write: WriteWeights, *, last: bool) -> bool:
        """Keep the weights if they are the best, and say whether patience ends here."""
        improved = self.best_loss is None or loss < self.best_loss - self._rule.threshold
        self.without_improvement = 0 if improved else self.without_improvement + 1
        if self.best_loss is None or loss < self.best_loss:
            self.best_loss, self.best_step = loss, step
            self._weights.keep(step, write)
        self.stopped_early = self.without_improvement >= self._rule.patience and not last
        return self.stopped_early

    @property
    def path(self) -> Path | None:
        """Where the best weights are; None before the first evaluation."""
        return None if self.best_step is None else self._weights.at(self.best_step)


class LastGood:
    """Keeps the weights of the last evaluation that broke no stop rule, and ends the run at the first that breaks one.

    `step` is the step of these weights; 0 means the reference, whose weights are the SFT adapter's. `look` is what was
    seen of them.
    """

    def __init__(self, before: Look, limits: Stops, too_few: Collection[str], folder: Path) -> None:
        self._before, self._limits, self._too_few, self._weights = before, limits, too_few, KeptWeights(folder)
        self.step = 0
        self.look = before
        self.stopped_by: str | None = None
        self.saved_steps: list[int] = []

    def state(self) -> dict[str, Any]:
        """What the next checkpoint keeps."""
        saved_steps = [*self.saved_steps, self.step][-2:]
        look = self.look.model_dump(mode="json")
        return {"step": self.step, "look": look, "stopped_by": self.stopped_by, "saved_steps": saved_steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self.step, self.stopped_by, self.saved_steps = state["step"], state["stopped_by"], state["saved_steps"]
        self.look = Look.model_validate(state["look"])

    def saved(self) -> None:
        """A checkpoint was written: weights that neither the run nor one of the last two points to go."""
        self.saved_steps = [*self.saved_steps, self.step][-2:]
        self._weights.drop_all_but({*self.saved_steps, self.step})

    @property
    def weights(self) -> Path | None:
        """Where the weights are; None for the reference's."""
        return self._weights.at(self.step) if self.step else None

    def judge(self, seen: Look, step: int, write: WriteWeights) -> bool:
        """Keep the weights of a good look, and say whether it breaks a rule."""
        if broken := faults(seen, self._before, self._limits, self._too_few):
            self.stopped_by = f"step {step}: " + "; ".join(broken)
            return True
        self._weights.keep(step, write)
        self.step, self.look = step, seen
        return False
