"""A Hugging Face tokenizer as the vocabulary of a GGUF.

What is read of `tokenizer.json`:

    {"model": {"type": "BPE", "vocab": {"!": 0, ...}, "merges": [["h", "e"], ...]},
     "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "..."}}, ...]},
     "added_tokens": [{"id": 2000, "content": "<|im_end|>", "special": true}]}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf

from pipelines.errors import ModelError
from pipelines.gguf.model_files import read_json
from pipelines.tokenizer import ChatFormat, read_chat_format

# llama.cpp knows a pre-tokenizer by a name; the expression is what the name stands for.
_PRE_TOKENIZERS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2"
}


@dataclass(frozen=True)
class Vocabulary:
    """Everything a GGUF says about text: tokens by id with their kinds, merges, special ids, chat template."""

    pre: str
    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    merges: tuple[str, ...]
    eos: int
    more_ends: tuple[int, ...]
    bos: int | None
    pad: int | None
    chat_template: str | None

    def write(self, writer: gguf.GGUFWriter) -> None:
        """Add it to a GGUF's metadata. No token is ever put before a text by itself: templates say everything."""
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(list(self.tokens))
        writer.add_token_types(list(self.kinds))
        writer.add_token_merges(list(self.merges))
        writer.add_eos_token_id(self.eos)
        if self.more_ends:
            writer.add_eot_token_id(self.more_ends[0])
        if self.bos is not None:
            writer.add_bos_token_id(self.bos)
        if self.pad is not None:
            writer.add_pad_token_id(self.pad)
        writer.add_add_bos_token(False)
        if self.chat_template is not None:
            writer.add_chat_template(self.chat_template)


def read_vocabulary(model: Path, size: int) -> Vocabulary:
    """The vocabulary of a model folder, padded with unused tokens to the `size` of its embedding.

    Raises:
        ModelError: a tokenizer that is missing, unreadable or of a kind llama.cpp would read differently.
    """
    tokenizer, form = read_json(model / "tokenizer.json"), read_chat_format(model)
    _check_kind(tokenizer)
    tokens, kinds = _tokens(tokenizer, size)
    ids = {token: index for index, token in enumerate(tokens)}
    ends = _end_ids(model, form, ids)
    return Vocabulary(
        pre=_pre_tokenizer(tokenizer),
        tokens=tuple(tokens),
        kinds=tuple(kinds),
        merges=tuple(_merge(merge) for merge in tokenizer["model"]["merges"]),
        eos=ends[0],
        more_ends=tuple(ends[1:]),
        bos=_named_id(form, "bos_token", ids),
        pad=_named_id(form, "pad_token", ids),
        chat_template=form.served(),
    )


def _optional_json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _check_kind(tokenizer: Mapping[str, Any]) -> None:
    """Refuse what llama.cpp's byte-level BPE would silently do otherwise."""
    model = tokenizer["model"]
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise ModelError(f"tokenizers of type {model.get('type')} are not supported; supported: byte-level BPE")
    normalizer = tokenizer.get("normalizer")
    if normalizer is not None and normalizer.get("type") != "NFC":
        raise ModelError(f"the tokenizer's normalizer {normalizer.get('type')} is not supported; supported: NFC")
    after = tokenizer.get("post_processor")
    if after is not None and after.get("type") != "ByteLevel":
        raise ModelError(f"the tokenizer's post-processor {after.get('type')} is not supported; supported: ByteLevel")
    for token in tokenizer.get("added_tokens", ()):
        if any(token.get(flag) for flag in ("lstrip", "rstrip", "single_word")):
            raise ModelError(f"the added token {token['content']!r} strips white space, which is not supported")


def _pre_tokenizer(tokenizer: Mapping[str, Any]) -> str:
    whole = tokenizer.get("pre_tokenizer") or {}
    parts = whole.get("pretokenizers", [whole])
    expressions = [part["pattern"].get("Regex") for part in parts if part.get("type") == "Split"]
    levels = [part for part in parts if part.get("type") == "ByteLevel"]
    plain = all(not part.get("add_prefix_space") and not part.get("use_regex", True) for part in levels)
    if len(expressions) == 1 and len(levels) == 1 and len(parts) == 2 and plain and expressions[0] in _PRE_TOKENIZERS:
        return _PRE_TOKENIZERS[expressions[0]]
    raise ModelError(
        f"the pre-tokenizer expression {expressions} is not one that llama.cpp is known to share; "
        f"supported: {', '.join(_PRE_TOKENIZERS.values())}"
    )


def _tokens(tokenizer: Mapping[str, Any], size: int) -> tuple[list[str], list[int]]:
    vocab: Mapping[str, int] = tokenizer["model"]["vocab"]
    added: Sequence[Mapping[str, Any]] = tokenizer.get("added_tokens", ())
    highest = max([*vocab.values(), *(int(token["id"]) for token in added)])
    if highest >= size:
        raise ModelError(f"the tokenizer's token {highest} lies outside the model's vocabulary of {size}")
    tokens = [f"[UNUSED{index}]" for index in range(size)]
    kinds = [int(gguf.TokenType.UNUSED)] * size
    for token, index in vocab.items():
        tokens[index], kinds[index] = token, int(gguf.TokenType.NORMAL)
    for entry in added:
        kind = gguf.TokenType.CONTROL if entry["special"] else gguf.TokenType.USER_DEFINED
        tokens[entry["id"]], kinds[entry["id"]] = entry["content"], int(kind)
    return tokens, kinds


def _merge(merge: str | Sequence[str]) -> str:
    return merge if isinstance(merge, str) else " ".join(merge)


def _named_id(form: ChatFormat, name: str, ids: Mapping[str, int]) -> int | None:
    """The id of `bos_token`, `eos_token` or `pad_token`; None where the folder does not name it."""
    text = form.named.get(name)
    if text is None:
        return None
    if text not in ids:
        raise ModelError(f"the tokenizer's {name} {text!r} is not in its vocabulary")
    return ids[text]


def _end_ids(model: Path, form: ChatFormat, ids: Mapping[str, int]) -> list[int]:
    """Ids that end an answer, the tokenizer's own first, then those of the generation and model configurations."""
    ends: list[int] = []
    named = _named_id(form, "eos_token", ids)
    if named is not None:
        ends.append(named)
    for file in ("generation_config.json", "config.json"):
        value = _optional_json(model / file).get("eos_token_id")
        ends += value if isinstance(value, list) else [] if value is None else [int(value)]
    ends = list(dict.fromkeys(ends))
    if not ends:
        raise ModelError(f"{model} names no end-of-sequence token in its tokenizer or generation configuration")
    if max(ends) >= len(ids):
        raise ModelError(f"the end-of-sequence token {max(ends)} lies outside the vocabulary")
    return ends
