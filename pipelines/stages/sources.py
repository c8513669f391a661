"""What a round reads besides its users' data, each opened once and known by the digest of its content."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import structlog

from pipelines.anchors.sets import AnchorSet, set_of
from pipelines.artifacts import digest_of, sha256_of
from pipelines.backends.fetch import BaseFolder
from pipelines.backends.launch import check_machine
from pipelines.context import Baseline, RoundContext
from pipelines.errors import RecipeError
from pipelines.mixture.anchors import Pools, without_contaminated, without_unrendered
from pipelines.recipe import GUARD_SUITE, Recipe
from pipelines.stages.baseline import base_digest, find_base, set_base
from pipelines.stages.contract import Keyed
from pipelines.stages.lineage import TrainingBase, keyed_adapter
from pipelines.suites.folder import SuiteFolder, open_folders
from pipelines.suites.run import form_digest
from pipelines.tokenizer import ChatTokenizer, check_policy

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Sources:
    """The sources of one round.

    Raises, where they are first read:
        ModelError, SuiteError, DataError: the base, a suite or a set of anchors is missing or malformed.
        RecipeError: the set is for another base, or lacks what the recipe needs.
    """

    recipe: Recipe
    context: RoundContext

    @cached_property
    def base(self) -> Keyed[Path]:
        """The folder of the base model; where the same files came from decides nothing that is learnt."""
        folder = self._found.folder
        for warning in check_policy(self.recipe.base, folder):
            _log.warning("base_policy", recipe=self.recipe.name, why=warning)
        return Keyed[Path](digest=base_digest(folder), value=folder)

    @cached_property
    def base_folder(self) -> Keyed[BaseFolder]:
        """The base model with the commit at which it was fetched, which the origin keeps."""
        pin = self._found.pin.model_dump() if self._found.pin else None
        return Keyed[BaseFolder](digest=digest_of({"base": self.base.digest, "pin": pin}), value=self._found)

    @cached_property
    def training_base(self) -> TrainingBase:
        """What is trained on; the champion's adapters count only for `lineage: sequential`."""
        lineage = self.context.lineage if self.recipe.lineage == "sequential" else ()
        return TrainingBase(base=self.base, adapters=tuple(keyed_adapter(adapter) for adapter in lineage))

    @cached_property
    def anchors(self) -> AnchorSet | None:
        """The recipe's set of anchors, made for its base and no other; None for a recipe without one."""
        opened = set_of(self.recipe, self.context.project, self.context.anchors)
        if opened is not None:
            opened.check_fits(set_base(self._found, self.base.digest), self.recipe.name)
        return opened

    @cached_property
    def suites(self) -> Keyed[SuiteFolder]:
        """Every suite that the recipe measures; the language guard among them, where the set has prompts for it."""
        language = self.anchors.language if self.anchors else None
        named = [name for name in self.recipe.evaluate.suites if language or name != GUARD_SUITE]
        return open_suites(self._suites, named, language)

    @cached_property
    def tasks(self) -> Keyed[SuiteFolder]:
        """The suites whose items must not be trained on."""
        return open_suites(self._suites, [name for name in self.recipe.evaluate.suites if name != GUARD_SUITE])

    @cached_property
    def pools(self) -> Keyed[Pools]:
        """The anchor pools without what repeats an item of the suites, or what the base's template cannot render."""
        loaded = self.anchors.pools() if self.anchors else {}
        loaded = without_contaminated(loaded, self.tasks.value.contamination.check_pool)
        pools = without_unrendered(loaded, ChatTokenizer(self.base.value, self.recipe.chat).can_render)
        return Keyed[Pools](
            digest=digest_of({name: pool.model_dump(mode="json") for name, pool in pools.items()}), value=pools
        )

    @cached_property
    def claims(self) -> Keyed[Path] | None:
        """The wrong claims that a model must not agree with, if the set has any."""
        path = self.anchors.claims if self.anchors else None
        return Keyed[Path](digest=sha256_of(path), value=path) if path else None

    @cached_property
    def _found(self) -> BaseFolder:
        return find_base(self.recipe.base, self.context.project, self.context.models)

    @property
    def _suites(self) -> tuple[Path, ...]:
        own = (self.context.suites,) if self.context.suites else ()
        return (self.context.project / "data" / "suites", *own)


def open_sources(recipe: Recipe, context: RoundContext) -> Sources:
    """The sources of a round of this recipe; nothing is read yet.

    Raises, since it must not be found out after hours of work:
        RecipeError: the recipe has no gates.
        TrainingError, MissingDependency: its settings cannot train here.
    """
    if not recipe.gates:
        raise RecipeError(f"the recipe '{recipe.name}' has no gates, so nothing could judge its candidate; add `gates`")
    check_machine(recipe.train)
    return Sources(recipe, context)


def open_suites(folders: Sequence[Path], names: Sequence[str], language: Path | None = None) -> Keyed[SuiteFolder]:
    """The suites of these names in these folders, as `open_folders` reads them; it raises."""
    opened = open_folders(folders, names, language)
    return Keyed[SuiteFolder](digest=digest_of(dict(opened.digests)), value=opened)


def keyed_model(model: Baseline) -> Keyed[Baseline]:
    """A model by the bytes in which it is served."""
    return Keyed[Baseline](digest=digest_of({"id": model.id, "form": form_digest(model.form)}), value=model)
