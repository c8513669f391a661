"""The suites that a recipe measures, as they were when a round began."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from statistics import fmean

from pipelines.artifacts import sha256_of
from pipelines.errors import SuiteError
from pipelines.recipe import APART, GUARD_SUITE
from pipelines.records import Record
from pipelines.suites.contamination import Contamination, suite_items
from pipelines.suites.load import Item, load_suite
from pipelines.suites.tools import check_tools


class SuiteFolder(Record):
    """Where suites lie, and the digests of those that a recipe measures, as they were when they were opened.

    Attributes:
        folders: of suite folders; the first that has a suite of a name has it.
        language: the file of the language guard's prompts, which lies with the base's anchors.
        sizes: gate items by suite; the language guard has none.
        characters: of a gate item on average, with what is shown before it.
    """

    folders: tuple[Path, ...]
    digests: Mapping[str, str]
    language: Path | None = None
    sizes: Mapping[str, int] = {}
    characters: Mapping[str, float] = {}

    @cached_property
    def contamination(self) -> Contamination:
        """Finds the items of these suites in texts. The language guard has none: it asks for no fact."""
        return Contamination(
            suite_items(load_suite(place_of(self.folders, name)) for name in self.digests if name != GUARD_SUITE)
        )

    def check_unchanged(self) -> None:
        """Raise SuiteError if a suite was edited since: the contamination check and the scores would speak of different items."""
        for name, digest in self.digests.items():
            if suite_digest(self.folders, name, self.language) != digest:
                raise SuiteError(f"suite '{name}' was edited while the round ran; ask for a new round")


def open_folders(folders: Sequence[Path], names: Sequence[str], language: Path | None = None) -> SuiteFolder:
    """The suites of these names, each read and with what its scorer needs; held-out answers and pairs are no folders.

    The language guard has its prompts in the file `language`.

    Raises:
        SuiteError: one is missing, empty or malformed. MissingDependency: this machine cannot score one.
    """
    digests, sizes, characters = {}, {}, {}
    for name in names:
        if name == GUARD_SUITE:
            digests[name] = suite_digest(folders, name, language)
        elif name not in APART:
            suite = load_suite(place_of(folders, name))
            check_tools(suite)
            digests[name], sizes[name] = suite.digest, len(suite.items["gate"])
            characters[name] = fmean(_characters(item) for item in suite.items["gate"])
    return SuiteFolder(folders=tuple(folders), digests=digests, sizes=sizes, characters=characters, language=language)


def _characters(item: Item) -> int:
    return len(str(item.fields.get("prefix") or "")) + len(item.prompt) + len(item.answer)


def place_of(folders: Sequence[Path], name: str) -> Path:
    """The folder of a suite; where none has it, where it would be in the last of these."""
    return next((folder / name for folder in folders if (folder / name).is_dir()), folders[-1] / name)


def suite_digest(folders: Sequence[Path], name: str, language: Path | None = None) -> str:
    """The digest of everything in a suite's folder that moves a score; of the language guard, its file of prompts.

    Raises:
        SuiteError: there is no such suite, or the guard has no prompts.
    """
    if name != GUARD_SUITE:
        return load_suite(place_of(folders, name)).digest
    if language is None or not language.is_file():
        raise SuiteError(
            f"the suite '{name}' has no prompts: they come with a set of anchors (`perennial anchors make`)"
        )
    return sha256_of(language)
