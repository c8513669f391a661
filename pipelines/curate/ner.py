"""Names and whatever else the models find that the operator configured: spaCy, Hugging Face token classification, GLiNER.

Models are loaded from the disk when curation starts and never downloaded. What their labels mean is labels.py's to say.
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import regex

from pipelines.curate.labels import Labels
from pipelines.errors import InputError, MissingDependency, ModelError


class Named(NamedTuple):
    """text[start:end] is an `entity`, a model says."""

    start: int
    end: int
    entity: str


Finder = Callable[[Sequence[str]], list[list[Named]]]
"""What a model finds in each of several texts, in text order."""
_MAX_CHUNK_CHARACTERS = 1_000
_HELD_WORDS = regex.compile(r"[\p{L}\p{M}]")
# Scripts whose words are not told apart by blanks, or carry particles: there a span is left as the model gave it.
_UNSPACED = regex.compile(r"[\p{Hangul}\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_BETWEEN_PARTS = regex.compile(r"(?:\s|\s?\p{Lu}\.\s)?")


def load_finders(setting: str, mapping: Mapping[str, str] | None = None) -> list[tuple[str, Finder]]:
    """Name and finder of each model in the comma-separated setting; `mapping` says what labels mean that do not say so.

    Raises:
        InputError: a name that is neither an installed spaCy package nor a folder with a known kind of model.
        MissingDependency: the library that a model needs is not installed.
        ModelError: a model that cannot be loaded, or none of whose labels means a person; the sentence lists them.
    """
    return [(Path(name).name, load(name, mapping or {})) for name, load in _loaders(setting)]


def check_models(setting: str) -> None:
    """Pass if every model in the setting is there, without loading any. Raises InputError as `load_finders` does."""
    _loaders(setting)


_Loader = Callable[[str, Mapping[str, str]], Finder]


def _loaders(setting: str) -> list[tuple[str, _Loader]]:
    names = [name.strip() for name in setting.split(",") if name.strip()]
    if not names:
        raise InputError("ner_model is empty: name a spaCy package or a model folder, or leave it out")
    return [(name, _loader(name)) for name in names]


def _loader(name: str) -> _Loader:
    """What loads a model of this kind, told by the files in its folder."""
    folder = Path(name)
    if (folder / "gliner_config.json").is_file():
        return _gliner
    if (folder / "meta.json").is_file():
        return _spacy
    if (folder / "config.json").is_file():
        from pipelines.curate.classifier import hugging_face

        return hugging_face
    if name.isidentifier() and importlib.util.find_spec(name) is not None:
        return _spacy
    raise InputError(
        f"ner_model {name!r} is neither an installed spaCy package nor a folder with a spaCy, Hugging Face or GLiNER model; "
        "install it (for spaCy: pip install the model's wheel) or give the folder's path"
    )


def _spacy(name: str, mapping: Mapping[str, str]) -> Finder:
    spacy = library("spacy", "spacy")
    try:
        model = spacy.load(name)
    except (OSError, ValueError) as error:
        raise ModelError(f"the spaCy model {name!r} cannot be loaded: {error}") from error
    found = {label for pipe in ("ner", "entity_ruler", "beam_ner") for label in model.pipe_labels.get(pipe, ())}
    labels = Labels(found, mapping, name)

    def find(texts: Sequence[str]) -> list[list[Named]]:
        documents = zip(texts, model.pipe(texts), strict=True)
        return [
            as_whole_words(
                [
                    Named(entity.start_char, entity.end_char, kind)
                    for entity in document.ents
                    if (kind := labels.entity(entity.label_))
                ],
                text,
            )
            for text, document in documents
        ]

    return find


def _gliner(folder: str, mapping: Mapping[str, str]) -> Finder:
    gliner = library("gliner", "gliner")
    model = gliner.GLiNER.from_pretrained(folder, local_files_only=True)
    asked = {"person": "PERSON"} | {label: entity for label, entity in mapping.items() if entity != "-"}

    def find(texts: Sequence[str]) -> list[list[Named]]:
        return [
            as_whole_words(
                [
                    Named(offset + entity["start"], offset + entity["end"], asked[entity["label"]])
                    for offset, chunk in chunks(text)
                    for entity in model.predict_entities(chunk, list(asked))
                ],
                text,
            )
            for text in texts
        ]

    return find


def as_whole_words(spans: Sequence[Named], text: str) -> list[Named]:
    """The spans grown to the edges of their words, and those of one entity made one where nothing but a blank is between.

    `"Ok", "on", "k", "wo"` of a model that cuts words are one name, and so are a given name and the surname behind it.
    """
    whole: list[Named] = []
    for span in sorted(span for span in spans if span.end > span.start):
        start, end = _grow(span.start, span.end, text)
        if start >= end:
            continue
        last = whole[-1] if whole else None
        if last and last.entity == span.entity and (start <= last.end or _is_one(text[last.end : start])):
            whole[-1] = Named(last.start, max(last.end, end), last.entity)
        else:
            whole.append(Named(start, end, span.entity))
    return whole


def _is_one(between: str) -> bool:
    return len(between) < 5 and _BETWEEN_PARTS.fullmatch(between) is not None


def _grow(start: int, end: int, text: str) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while start > 0 and _goes_on(text[start - 1], text[start]):
        start -= 1
    while start < end < len(text) and _goes_on(text[end], text[end - 1]):
        end += 1
    return start, end


def _goes_on(outside: str, inside: str) -> bool:
    """Whether a word goes on from the character inside a span to the one outside."""
    if not (_HELD_WORDS.match(outside) or outside.isdigit()) or not (_HELD_WORDS.match(inside) or inside.isdigit()):
        return False
    return not _UNSPACED.match(outside) and not _UNSPACED.match(inside)


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


def library(module: str, package: str) -> Any:
    """A library that only some models need. Raises MissingDependency with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependency(
            f"this ner_model needs the package {package}; install it with: pip install {package}"
        ) from error
