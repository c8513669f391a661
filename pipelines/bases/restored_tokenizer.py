"""The tokenizer inside a GGUF as Hugging Face's files: a GGUF names how text is split before merging and does not hold it.

    tokenizer.ggml.pre = "smollm"   ->   every digit apart, then words as GPT-2 splits them

transformers knows the splits of most families (Llama 3, Qwen, Mistral's tekken, GPT-4o ...) and reads all others as GPT-2's.
Families for which that is wrong stand in the table here. Whether a split is right is shown by token ids, not by its name
(pipelines/bases/restore.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers


def _regexes(*patterns: str) -> Any:
    """Split by one pattern after the other, then spell what is left in bytes."""
    splits = [pre_tokenizers.Split(Regex(pattern), behavior="isolated") for pattern in patterns]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


_DIGITS = pre_tokenizers.Sequence(
    [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
)
_SPLITS: Mapping[str, Any] = {
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), _DIGITS),
    "deepseek-coder": _regexes(
        r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[\x{4e00}-\x{9fa5}\x{0800}-\x{4e00}\x{ac00}-\x{d7ff}]+", r"\p{N}"
    ),
}
_SPACES_OF_ITS_OWN = ("gemma", "phi3")  # transformers knows how these treat a space at the beginning


def restore_tokenizer(file: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer of a GGUF, and what its tokenizer_config.json says.

    Raises:
        ValueError: a kind of tokenizer that transformers cannot make of a GGUF.
    """
    from transformers.integrations.gguf import convert_gguf_tokenizer, get_gguf_tokenizer

    architecture, vocabulary, config = get_gguf_tokenizer(str(file))
    tokenizer: Tokenizer = convert_gguf_tokenizer(architecture, vocabulary)[0]
    if split := _SPLITS.get(str(vocabulary.get("pre_tokenizer_type"))):
        tokenizer.pre_tokenizer = split
    if vocabulary.get("tokenizer_type") == "llama" and not architecture.startswith(_SPACES_OF_ITS_OWN):
        before = [normalizers.Prepend("▁")] if vocabulary.get("add_prefix_space", True) else []
        tokenizer.normalizer = normalizers.Sequence([*before, normalizers.Replace(" ", "▁")])
        tokenizer.pre_tokenizer = None
    tokenizer.post_processor = None  # a chat template writes the tokens that begin a chat
    return tokenizer, {**config, "tokenizer_class": "PreTrainedTokenizerFast"}
