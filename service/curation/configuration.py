"""What the settings of this machine, and what many people wrote, say to curation."""

import time
from pathlib import Path

from pipelines.curate.config import CurationConfig, CustomRules
from pipelines.errors import InputError
from service.settings import Settings
from service.store import names
from service.store.session import Store

_FRESH_SECONDS = 60.0


def configuration(settings: Settings, budget_seconds: float | None = None) -> CurationConfig:
    """The configuration of a curator on this machine; `budget_seconds` of a conversation, that of CurationConfig if None."""
    config = CurationConfig(
        ner_model=settings.ner_model,
        ner_labels=settings.ner_labels,
        allow_degraded_names=settings.allow_degraded_names,
        public_names=read_public_names(settings.public_names),
        custom=_custom(settings.recognizers),
    )
    return config if budget_seconds is None else config.model_copy(update={"budget_seconds": budget_seconds})


def _custom(path: Path | None) -> CustomRules:
    if path is None:
        return CustomRules()
    from pipelines.curate.custom import load_custom  # brings Presidio, which only whoever has such a file waits for

    return load_custom(path)


class CountedNames:
    """The keyed hashes of the names that are public by their number, counted again once a minute."""

    def __init__(self, store: Store, people: int) -> None:
        self._store, self._people = store, people
        self._due = 0.0
        self._hashes = frozenset[str]()

    def __call__(self) -> frozenset[str]:
        """The hashes, at most a minute old."""
        if time.monotonic() >= self._due:
            with self._store.read() as session:
                self._hashes = names.public_names(session, self._people)
            self._due = time.monotonic() + _FRESH_SECONDS
        return self._hashes


def read_public_names(path: Path | None) -> tuple[str, ...]:
    """The names in a file, one a line; lines that begin with # are comments. None for no file of one's own.

    Raises:
        InputError: the file is not there, or is no UTF-8 text.
    """
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"PERENNIAL_PUBLIC_NAMES={path} cannot be read: {error}; give a text file, one name a line"
        ) from error
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
