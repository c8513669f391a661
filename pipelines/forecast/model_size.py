"""How large a model is, from its config.json, or from its name where it is not here yet."""

import json
import re
from pathlib import Path
from typing import Any

from pipelines.errors import ModelError
from pipelines.records import Record

_SIZE_IN_NAME = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)\s*[bB](?![a-zA-Z])")


class Shape(Record):
    """A dense decoder of the Qwen2 and Llama kind."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int
    tied: bool

    @property
    def linears(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of a layer's linear maps: q, k, v, o, gate, up, down."""
        q, kv = self.heads * self.head, self.kv_heads * self.head
        attention = ((self.hidden, q), (self.hidden, kv), (self.hidden, kv), (q, self.hidden))
        return (*attention, *((self.hidden, self.intermediate),) * 2, (self.intermediate, self.hidden))

    @property
    def linear_parameters(self) -> int:
        """Weights of all linear maps in the layers."""
        return self.layers * sum(rows * columns for rows, columns in self.linears)

    @property
    def embedding_parameters(self) -> int:
        """Weights of the vocabulary, twice where input and output are not tied."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All weights, norms left out."""
        return self.linear_parameters + self.embedding_parameters

    def lora_parameters(self, rank: int) -> int:
        """Trained weights of a LoRA on all linear maps."""
        return self.layers * sum(rank * (rows + columns) for rows, columns in self.linears)


def _qwen(hidden: int, layers: int, heads: int, kv: int, intermediate: int, vocabulary: int, *, tied: bool) -> Shape:
    return Shape(
        hidden=hidden,
        intermediate=intermediate,
        layers=layers,
        heads=heads,
        kv_heads=kv,
        head=hidden // heads,
        vocabulary=vocabulary,
        tied=tied,
    )


# Qwen2.5's config.json files, by billions of parameters
_QWEN2_5 = {
    0.5: _qwen(896, 24, 14, 2, 4864, 151_936, tied=True),
    1.5: _qwen(1536, 28, 12, 2, 8960, 151_936, tied=True),
    3.0: _qwen(2048, 36, 16, 2, 11_008, 151_936, tied=True),
    7.0: _qwen(3584, 28, 28, 4, 18_944, 152_064, tied=False),
    14.0: _qwen(5120, 48, 40, 8, 13_824, 152_064, tied=False),
    32.0: _qwen(5120, 64, 40, 8, 27_648, 152_064, tied=False),
    72.0: _qwen(8192, 80, 64, 8, 29_568, 152_064, tied=False),
}


def shape_of(model: str, folder: Path | None) -> Shape | None:
    """The shape in the folder's config.json, else Qwen2.5's of the size in the name, else None.

    A name of another family gives the nearest Qwen2.5 shape: close enough for a forecast, not for more.

    Raises:
        ModelError: a config.json that says too little.
    """
    if folder is not None and (folder / "config.json").is_file():
        return _from_config(json.loads((folder / "config.json").read_text(encoding="utf-8")), folder)
    sizes = [float(number) for number in _SIZE_IN_NAME.findall(model)]
    if not sizes:
        return None
    return _QWEN2_5[min(_QWEN2_5, key=lambda size: abs(size - sizes[-1]) / size)]


def _from_config(config: dict[str, Any], folder: Path) -> Shape:
    try:
        hidden, heads = config["hidden_size"], config["num_attention_heads"]
        return Shape(
            hidden=hidden,
            intermediate=config["intermediate_size"],
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head=config.get("head_dim") or hidden // heads,
            vocabulary=config["vocab_size"],
            tied=bool(config.get("tie_word_embeddings", False)),
        )
    except KeyError as error:
        raise ModelError(f"{folder.name}/config.json has no {error.args[0]}, so the model's size is unknown") from error


def count_words(number: int) -> str:
    """A number of parameters as people say it."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)
