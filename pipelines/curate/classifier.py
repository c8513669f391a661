"""A Hugging Face token classifier as a finder: windows of tokens in batches, on a GPU if there is one.

Its own reading of the labels instead of transformers' pipeline, which cuts words ("Ok", "on", "k", "wo") and silently
drops what is beyond a model's longest input.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.curate.labels import Labels
from pipelines.curate.ner import Finder, Named, as_whole_words, library
from pipelines.errors import ModelError

_BATCH = 16
_MAX_TOKENS = 512
_STRIDE = 32  # tokens that two windows share, so that no name is cut in two


def hugging_face(folder: str, mapping: Mapping[str, str]) -> Finder:
    """The finder of the model in this folder.

    Raises:
        MissingDependency, ModelError: see pipelines.curate.ner.load_finders.
    """
    transformers, torch = library("transformers", "transformers"), library("torch", "torch")
    try:
        model = transformers.AutoModelForTokenClassification.from_pretrained(folder, local_files_only=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"the token-classification model in {folder} cannot be loaded: {error}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"the model in {folder} has no tokenizer.json, so its findings have no place in the text")
    names = {int(index): str(label) for index, label in model.config.id2label.items()}
    labels = Labels(names.values(), mapping, folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device).eval()
    window = _window(model, tokenizer)

    def find(texts: Sequence[str]) -> list[list[Named]]:
        found: list[list[Named]] = [[] for _ in texts]
        for batch in _batches(tokenizer, texts, window):
            inputs = {name: batch[name].to(device) for name in tokenizer.model_input_names if name in batch}
            with torch.inference_mode():
                best = model(**inputs).logits.argmax(-1).tolist()
            rows = zip(
                batch["overflow_to_sample_mapping"].tolist(), best, batch["offset_mapping"].tolist(), strict=True
            )
            for text, row, offsets in rows:
                found[text] += _spans([names[index] for index in row], offsets, labels)
        return [as_whole_words(spans, text) for spans, text in zip(found, texts, strict=True)]

    return find


def _window(model: Any, tokenizer: Any) -> int:
    """The longest input in tokens; position tables of RoBERTa's kind are two longer than what they take."""
    longest = getattr(model.config, "max_position_embeddings", None) or _MAX_TOKENS
    return max(8, min(_MAX_TOKENS, int(longest) - 2, int(tokenizer.model_max_length)))


def _batches(tokenizer: Any, texts: Sequence[str], window: int) -> Iterator[Any]:
    """All windows over all texts, the longest together, so that little is padded."""
    order = sorted((index for index, text in enumerate(texts) if text.strip()), key=lambda index: len(texts[index]))
    for start in range(0, len(order), _BATCH):
        group = order[start : start + _BATCH]
        encoded = tokenizer(
            [texts[index] for index in group],
            truncation=True,
            max_length=window,
            stride=min(_STRIDE, window // 4),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=True,
            return_tensors="pt",
        )
        owners = encoded["overflow_to_sample_mapping"].apply_(lambda place: group[place])  # noqa: B023
        for first in range(0, len(owners), _BATCH):
            part = {name: encoded[name][first : first + _BATCH] for name in encoded}
            yield part | {"overflow_to_sample_mapping": owners[first : first + _BATCH]}


def _spans(tags: Sequence[str], offsets: Sequence[Sequence[int]], labels: Labels) -> Iterator[Named]:
    """A span for each token that is something; special tokens have empty offsets."""
    for tag, (start, end) in zip(tags, offsets, strict=True):
        entity = labels.entity(tag)
        if entity and end > start:
            yield Named(start, end, entity)
