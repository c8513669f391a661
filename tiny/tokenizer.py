"""The tiny model's tokenizer: byte-level BPE of 2,048 tokens behind Qwen2's own normalizer and pre-tokenizer.

Both AutoTokenizer (which swaps in Qwen2's pre-tokenizer for every `qwen2` model) and llama.cpp (`qwen2`) then cut
text exactly as it was cut in training.
"""

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

from tiny.mixture import draw
from tiny.world import World

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VOCABULARY = 2048
CORPUS_EXCHANGES = 40_000
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{%- for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{%- else %}{{ message['content'] + '<|im_end|>\\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
)


def train_tokenizer(world: World, seed: int) -> "PreTrainedTokenizerFast":
    """The tokenizer that a seed gives; the same one every time."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[PAD, START, END],
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(world, seed), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=[START, END],
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def save_tokenizer(tokenizer: "PreTrainedTokenizerFast", out: Path) -> None:
    """tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    tokenizer.save_pretrained(out)
    # An empty post-processor was added on the way; llama.cpp has none, so the file should not claim one.
    path = out / "tokenizer.json"
    saved = json.loads(path.read_text(encoding="utf-8"))
    if not (saved["post_processor"] or {}).get("special_tokens"):
        saved["post_processor"] = None
    path.write_text(json.dumps(saved, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _corpus(world: World, seed: int) -> list[str]:
    rng = random.Random(seed)
    lines = []
    for _ in range(CORPUS_EXCHANGES):
        exchange = draw(rng, world)
        lines += ["user\n" + exchange.question, "assistant\n" + exchange.answer]
    return lines
