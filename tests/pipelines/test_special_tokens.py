"""No token that a vocabulary has beside its words comes out of message text: in training, in serving, in either's counts.

Over every such token of the embedded model and of Qwen2's real vocabulary with what Qwen2.5 and Qwen3 added to it.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.chat import AddedToken, escape_markers, escape_of
from pipelines.gguf.convert import convert
from pipelines.gguf.scorer import GGUFScorer
from pipelines.messages import as_messages
from pipelines.records import Turn
from pipelines.suites.asked import AskedModel
from pipelines.suites.prompts import prompt_ids
from pipelines.tokenizer import ChatTokenizer
from tests.pipelines.conftest import TEMPLATE

PROJECT = Path(__file__).resolve().parents[2]
VOCABULARY = next((PROJECT / ".venv").glob("llama.cpp-*/models/ggml-vocab-qwen2.gguf"), None)
NAMES = ("object_ref_start", "object_ref_end", "box_start", "box_end", "quad_start", "quad_end", "vision_start")
SPECIAL = [f"<|{name}|>" for name in (*NAMES, "vision_end", "vision_pad", "image_pad", "video_pad")]
FIM = [f"<|{name}|>" for name in ("fim_prefix", "fim_middle", "fim_suffix", "fim_pad", "repo_name", "file_sep")]
TAGS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]


def write_qwen(folder: Path) -> Path:
    """A random little model that speaks Qwen2's real vocabulary, with the tokens that Qwen2.5 and Qwen3 add."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    assert VOCABULARY is not None, "the vocabularies are missing: run make setup"
    fields = gguf.GGUFReader(VOCABULARY).fields
    kinds = fields["tokenizer.ggml.token_type"].contents()
    tokens = [token for token, kind in zip(fields["tokenizer.ggml.tokens"].contents(), kinds, strict=True) if kind != 4]
    words = {token: id for id, token in enumerate(tokens) if kinds[id] == 1}
    added = {token: True for token in [*tokens[len(words) :], *SPECIAL]} | dict.fromkeys([*FIM, *TAGS], False)
    written = json.loads((PROJECT / "models" / "tiny" / "tokenizer.json").read_text())
    written["model"] |= {"vocab": words, "merges": fields["tokenizer.ggml.merges"].contents()}
    written["added_tokens"] = [
        written["added_tokens"][0] | {"id": id, "content": token, "special": added[token]}
        for id, token in enumerate(added, len(words))
    ]
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(written))
    settings = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Qwen2Config(
        vocab_size=len(words) + len(added), num_key_value_heads=1, tie_word_embeddings=True, bos_token_id=None, **shape
    )
    torch.manual_seed(7)
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["tiny", "qwen"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "tiny":
        return PROJECT / "models" / "tiny"
    return write_qwen(tmp_path_factory.mktemp("qwen") / "model")


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> ChatTokenizer:
    return ChatTokenizer(base)


@pytest.fixture(scope="module")
def scorer(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GGUFScorer]:
    made = convert(base, tmp_path_factory.mktemp("served") / "model.gguf")
    with GGUFScorer.open(made.path, made.sha256) as opened:
        yield opened


@cache
def added_ids(base: Path) -> dict[str, int]:
    tokens = json.loads((base / "tokenizer.json").read_text())["added_tokens"]
    return {token["content"]: token["id"] for token in tokens}


def attacks(token: str) -> Iterator[str]:
    """The token alone, in words, in itself, and every part of it at an edge where the template may complete it."""
    yield from (token, f"say {token} now", token + token, f"{token[0]}{token}{token[1:]}", f"{token[0]} {token[1:]}")
    for cut in range(1, len(token)):
        yield f"x{token[:cut]}"
        yield f"{token[cut:]}x"
        yield token[:cut] + token + token[cut:]


def test_the_vocabularies_hold_the_tokens_that_this_is_about(base: Path) -> None:
    names = set(added_ids(base))
    assert {"<|im_start|>", "<|im_end|>", "<|endoftext|>"} <= names
    assert base.name == "tiny" or {*SPECIAL, *FIM, *TAGS} <= names


@pytest.mark.parametrize("role", ["user", "assistant", "system"])
def test_training_and_serving_read_every_added_token_in_message_text_as_text(
    base: Path, tokenizer: ChatTokenizer, scorer: GGUFScorer, role: Literal["user", "assistant", "system"]
) -> None:
    added = set(added_ids(base).values())

    def control(text: str) -> tuple[list[int], list[int]]:
        """The control tokens that training and serving read in a chat that holds this text."""
        chat = [Turn(role="user", content="q"), Turn(role=role, content=text, trained=role == "assistant")]
        served = prompt_ids(scorer, chat)
        trained = tokenizer.answer([*chat, Turn(role="assistant", content="a", trained=True)]).ids
        assert served == tokenizer.ids(as_messages(chat)) == trained[: len(served)]
        return [id for id in trained if id in added], [id for id in served if id in added]

    plain = control("x")
    for token in added_ids(base):
        for text in attacks(token) if role == "user" else [token]:
            assert control(text) == plain, text


def test_counts_and_suites_read_every_added_token_as_text(
    base: Path, tokenizer: ChatTokenizer, scorer: GGUFScorer
) -> None:
    model = AskedModel(scorer)
    for token in added_ids(base):
        assert tokenizer.count(token) > 1
        ids = model.split("What is it? ", token)[1]
        assert len(ids) > 1 and not set(ids) & set(added_ids(base).values())


def test_serving_escapes_just_what_training_escapes(base: Path, tokenizer: ChatTokenizer, scorer: GGUFScorer) -> None:
    for text in (text for token in added_ids(base) for text in attacks(token)):
        assert scorer.escape(text) == tokenizer.escape(text)


@pytest.mark.parametrize(
    ("token", "special", "text", "escaped"),
    [
        ("<tool_call>", False, "a <tool_call>{}", "a < tool_call>{}"),
        ("[INST]", True, "[INST] x", "[ INST] x"),
        ("PAD", True, "PADDLE", "P ADDLE"),
        ("Perennial", False, "Perennial is up", "Perennial is up"),
        ("  ", False, "a  b", "a  b"),
        ("é", False, "café", "café"),
        ("§", True, "§ 1", "\N{REPLACEMENT CHARACTER} 1"),
        (" <s> ", True, "a <s> b", "a < s> b"),
        ("<e\u0301>", True, "<é>", "< é>"),
    ],
    ids=["a tag", "a bracket", "a special word", "a word", "white space", "a letter", "one sign", "with spaces", "NFC"],
)
def test_what_is_broken_up_and_what_is_left(token: str, special: bool, text: str, escaped: str) -> None:
    assert escape_of([AddedToken(token, special)])(text) == escaped


@given(tokens=st.lists(st.text("<|> a", min_size=1, max_size=5), max_size=5), text=st.text("<|> a", max_size=40))
def test_no_special_token_is_left_whatever_the_vocabulary_and_escaping_is_idempotent(
    tokens: list[str], text: str
) -> None:
    escape: Callable[[str], str] = escape_of(AddedToken(token, True) for token in tokens)
    clean = escape(text)
    assert escape(clean) == clean
    assert not any(token.strip() in clean for token in tokens if token.strip())


def test_without_added_tokens_only_markers_are_broken_up() -> None:
    assert escape_of([]) is escape_markers
