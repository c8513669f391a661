"""Small real GGUFs with random weights, and the rows that a round would have left for them."""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter, TokenType
from tokenizers.pre_tokenizers import ByteLevel

from pipelines.artifacts import sha256_of
from pipelines.gguf.vocabulary import Vocabulary
from service.settings import Settings
from service.store.session import Store
from service.store.tables import Model, Promotion, Round, ServedForm

_HIDDEN, _LAYERS, _CONTEXT = 64, 2, 2048
_SLOW_LAYERS = 16
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@cache
def gguf(name: str = "first") -> Path:
    """A GGUF of a small random Qwen2 whose tokens are single bytes; greedy, it never ends an answer by itself.

    The one called `slow` takes seconds to write an answer of 1,500 tokens, for tests that do something meanwhile.

    Written directly: importing torch takes longer than these tests. Never change the file in place.
    """
    folder = Path(tempfile.mkdtemp(prefix="perennial-test-gguf-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "model.gguf"
    layers = _SLOW_LAYERS if name == "slow" else _LAYERS
    numbers = np.random.default_rng(sum(name.encode()))
    writer = GGUFWriter(path, "qwen2")
    writer.add_type("model")
    writer.add_block_count(layers)
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_HIDDEN)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    vocabulary = _vocabulary()
    writer.add_vocab_size(len(vocabulary.tokens))
    vocabulary.write(writer)
    for tensor, shape in _tensors(len(vocabulary.tokens), layers):
        values = np.ones(shape) if "norm" in tensor else numbers.normal(0, 0.3, shape)
        if tensor == "token_embd.weight":
            values[:3] = 0  # the tokens that end an answer, so that it goes on to its limit
        writer.add_tensor(tensor, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vocabulary() -> Vocabulary:
    letters = sorted(ByteLevel.alphabet())
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [*special, *letters, "\u0120a"]
    kinds = [TokenType.CONTROL] * len(special) + [TokenType.NORMAL] * (len(letters) + 1)
    return Vocabulary(
        pre="qwen2",
        tokens=tuple(tokens),
        kinds=tuple(kinds),
        merges=("\u0120 a",),
        eos=2,
        more_ends=(),
        bos=None,
        pad=0,
        chat_template=_TEMPLATE,
    )


def _tensors(vocabulary: int, layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    square, vector = (_HIDDEN, _HIDDEN), (_HIDDEN,)
    yield "token_embd.weight", (vocabulary, _HIDDEN)
    yield "output_norm.weight", vector
    for layer in range(layers):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            yield f"blk.{layer}.{part}.weight", square
        for part in ("attn_q.bias", "attn_k.bias", "attn_v.bias", "attn_norm.weight", "ffn_norm.weight"):
            yield f"blk.{layer}.{part}", vector


def add_round(store: Store, **values: Any) -> int:
    """A finished round; `champion` in its counts names the model that its candidates were compared with."""
    with store.begin() as session:
        row = Round(
            **{
                "recipe_name": "tiny",
                "recipe": "name: tiny",
                "recipe_digest": "d",
                "requested_by": "test",
                "state": "passed",
            }
            | values
        )
        session.add(row)
        session.flush()
        assert row.id is not None
        return row.id


def add_model(store: Store, settings: Settings, model_id: str, weights: str = "first", **values: Any) -> Path:
    """A model whose file stands in the home folder; a candidate that passed unless `values` say otherwise."""
    path = settings.models / model_id / "model.gguf"
    path.parent.mkdir(parents=True)
    shutil.copy(gguf(weights), path)
    return add_rows(store, settings, model_id, path, **values)


def add_rows(store: Store, settings: Settings, model_id: str, path: Path, **values: Any) -> Path:
    """The rows of a model over an existing file (of any content)."""
    with store.begin() as session:
        model = {"id": model_id, "kind": "candidate", "recipe_name": "tiny", "verdict": "pass"} | values
        session.add(Model(**model))
        session.flush()
        session.add(
            ServedForm(
                model_id=model_id,
                kind="merged",
                path=str(path.relative_to(settings.home)),
                sha256=sha256_of(path),
                quantization="F16",
                size_bytes=path.stat().st_size,
            )
        )
    return path


def crown(store: Store, model_id: str, previous: str | None = None) -> None:
    """Append a promotion without asking anybody."""
    with store.begin() as session:
        session.add(
            Promotion(model_id=model_id, previous_id=previous, kind="promote" if previous else "first", by="test")
        )
