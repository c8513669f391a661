"""Person names from a model that the operator configured: spaCy, Hugging Face token classification, or GLiNER.

Models are loaded from the disk when curation starts and never downloaded.
"""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import InputError, MissingDependency, ModelError

Finder = Callable[[str], list[tuple[int, int]]]
_PERSON_LABELS = frozenset({"PER", "PERSON", "PS", "NAME", "B-PER", "I-PER", "PER_NAME", "B-PERSON", "I-PERSON"})
_MAX_CHUNK_CHARACTERS = 1_000


def load_finders(setting: str) -> list[Finder]:
    """One finder of (start, end) spans of person names for each model in the comma-separated setting.

    Raises:
        InputError: a name that is neither an installed spaCy package nor a folder with a known kind of model.
        MissingDependency: the library that a model needs is not installed.
        ModelError: a model that cannot be loaded, or that has no label for persons.
    """
    return [load(name) for name, load in _loaders(setting)]


def check_models(setting: str) -> None:
    """Pass if every model in the setting is there, without loading any. Raises InputError as `load_finders` does."""
    _loaders(setting)


def _loaders(setting: str) -> list[tuple[str, Callable[[str], Finder]]]:
    names = [name.strip() for name in setting.split(",") if name.strip()]
    if not names:
        raise InputError("ner_model is empty: name a spaCy package or a model folder, or leave it out")
    return [(name, _loader(name)) for name in names]


def _loader(name: str) -> Callable[[str], Finder]:
    """What loads a model of this kind, told by the files in its folder."""
    folder = Path(name)
    if (folder / "gliner_config.json").is_file():
        return _gliner
    if (folder / "meta.json").is_file():
        return _spacy
    if (folder / "config.json").is_file():
        return _hugging_face
    if name.isidentifier() and importlib.util.find_spec(name) is not None:
        return _spacy
    raise InputError(
        f"ner_model {name!r} is neither an installed spaCy package nor a folder with a spaCy, Hugging Face or GLiNER model; "
        "install it (for spaCy: pip install the model's wheel) or give the folder's path"
    )


def _spacy(name: str) -> Finder:
    spacy = _library("spacy", "spacy")
    try:
        model = spacy.load(name)
    except (OSError, ValueError) as error:
        raise ModelError(f"the spaCy model {name!r} cannot be loaded: {error}") from error

    def find(text: str) -> list[tuple[int, int]]:
        return [
            (entity.start_char, entity.end_char)
            for entity in model(text).ents
            if entity.label_.upper() in _PERSON_LABELS
        ]

    return find


def _hugging_face(folder: str) -> Finder:
    transformers = _library("transformers", "transformers")
    try:
        model = transformers.AutoModelForTokenClassification.from_pretrained(folder, local_files_only=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"the token-classification model in {folder} cannot be loaded: {error}") from error
    if not any(_is_person(label) for label in model.config.id2label.values()):
        raise ModelError(
            f"the model in {folder} has no label for persons, only {sorted(model.config.id2label.values())}"
        )
    pipeline = transformers.pipeline(
        "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="simple"
    )

    def find(text: str) -> list[tuple[int, int]]:
        return [
            (offset + entity["start"], offset + entity["end"])
            for offset, chunk in chunks(text)
            for entity in pipeline(chunk)
            if _is_person(entity["entity_group"]) and entity["end"] > entity["start"]
        ]

    return find


def _gliner(folder: str) -> Finder:
    gliner = _library("gliner", "gliner")
    model = gliner.GLiNER.from_pretrained(folder, local_files_only=True)

    def find(text: str) -> list[tuple[int, int]]:
        return [
            (offset + entity["start"], offset + entity["end"])
            for offset, chunk in chunks(text)
            for entity in model.predict_entities(chunk, ["person"])
        ]

    return find


def chunks(text: str) -> Sequence[tuple[int, str]]:
    """The text in pieces of at most 1,000 characters, cut at white space where there is some, with their offsets."""
    pieces, start = [], 0
    while start < len(text):
        end = min(len(text), start + _MAX_CHUNK_CHARACTERS)
        if end < len(text):
            cut = max(text.rfind(" ", start + 1, end), text.rfind("\n", start + 1, end))
            end = cut if cut > start else end
        pieces.append((start, text[start:end]))
        start = end
    return pieces


def _is_person(label: str) -> bool:
    return label.upper() in _PERSON_LABELS


def _library(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependency(
            f"this ner_model needs the package {package}; install it with: pip install {package}"
        ) from error
