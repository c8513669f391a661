"""What a round trains on: the origin, or for `lineage: sequential` the origin with the champion's adapters folded in."""

import shutil
from pathlib import Path
from typing import Any

from pipelines.artifacts import digest_of, sha256_of
from pipelines.context import Adapter, StageContext
from pipelines.errors import RecipeError
from pipelines.isolated import run_in_child
from pipelines.records import Record
from pipelines.stages.contract import Keyed

_FOLD_SECONDS = 24 * 3600.0


class TrainingBase(Record):
    """A base model and the adapters to fold into it, oldest first."""

    base: Keyed[Path]
    adapters: tuple[Keyed[Adapter], ...] = ()

    def folder(self, context: StageContext) -> Path:
        """The weights to train on, in a model folder; adapters are folded in now, once an attempt, in scratch."""
        if not self.adapters:
            return self.base.value
        merged = context.scratch / "base"
        if not merged.is_dir():
            adapters = [adapter.value.model_dump() for adapter in self.adapters]
            request = {"base": str(self.base.value), "out": str(merged), "adapters": adapters}
            run_in_child("pipelines.stages.lineage:fold_here", request, timeout_seconds=_FOLD_SECONDS)
        return merged


def keyed_adapter(adapter: Adapter) -> Keyed[Adapter]:
    """An adapter by the digest of its files and of how its export merged it.

    Raises:
        RecipeError: the folder holds none: its round trained with `method: full`, or somebody removed it.
    """
    if not (Path(adapter.folder) / "adapter_config.json").is_file():
        raise RecipeError(
            f"`lineage: sequential` folds the champion's adapters into the base, and there is no adapter in {adapter.folder}"
            " (`method: full` leaves none); use `lineage: from_origin`, or promote a model that was trained as an adapter"
        )
    files = {path.name: sha256_of(path) for path in sorted(Path(adapter.folder).glob("adapter*")) if path.is_file()}
    return Keyed[Adapter](digest=digest_of({"files": files, **adapter.model_dump(exclude={"folder"})}), value=adapter)


def fold_here(arguments: dict[str, Any]) -> dict[str, Any]:
    """Fold adapters into a base, one after the other; the last model is the folder `out`, none before it stays."""
    from pipelines.gguf.merge import merge

    base, out = Path(arguments["base"]), Path(arguments["out"])
    adapters = [Adapter.model_validate(one) for one in arguments["adapters"]]
    between: list[Path] = []
    for number, adapter in enumerate(adapters, 1):
        target = out if number == len(adapters) else out.with_name(f"{out.name}.{number}.tmp")
        shutil.rmtree(target, ignore_errors=True)  # a killed run's
        merge(base, Path(adapter.folder), target, scale=adapter.scale, onto=adapter.merged_onto)
        for path in between:
            shutil.rmtree(path, ignore_errors=True)
        base, between = target, [target] if target != out else []
    return {"base": str(base)}
