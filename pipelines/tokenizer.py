"""Token ids and loss masks of chats, straight from a model folder's tokenizer.json and chat template.

The only reader of a model folder's template and special tokens: training, export and forecast take them from here.

What is read of a model folder:

    tokenizer.json          {"model": {"type": "BPE", ...}, "added_tokens": [{"content": "<|im_end|>", ...}], ...}
    tokenizer_config.json   {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": "..."}
    chat_template.jinja     the template, where it is not in tokenizer_config.json

`transformers` is not used: it swaps the pre-tokenizer of every `qwen2` model for Qwen's own (FACTS section 6).
"""

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from pipelines.chat import AddedToken, Chat, escape_markers, escape_of, find_masked, render, render_masked
from pipelines.errors import ModelError
from pipelines.recipe import Base
from pipelines.records import Record, ToolCall, Turn

_NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


class ChatFormat(Record):
    """How a model folder writes a chat.

    Attributes:
        template: its chat template, None where it has none.
        named: the texts of bos_token, eos_token, pad_token and unk_token, where the folder names them.
    """

    template: str | None
    named: Mapping[str, str]


def read_chat_format(base: Path) -> ChatFormat:
    """The chat template and named tokens of a model folder. Raises ModelError if a file of them cannot be read."""
    settings = _settings(base / "tokenizer_config.json")
    named = {name: text for name in _NAMED_TOKENS if (text := _text(settings.get(name))) is not None}
    return ChatFormat(template=_template(base / "chat_template.jinja", settings), named=named)


def check_policy(base: Base, folder: Path) -> tuple[str, ...]:
    """Warnings where a base model is not what `base.policy` calls it.

    A model whose template ends a turn with its own end-of-sequence token was taught to chat, whatever its name.

    Raises:
        ModelError: `policy: instruct` and no chat template.
    """
    form = read_chat_format(folder)
    if base.policy == "instruct":
        if form.template is None:
            raise ModelError(
                f"the recipe says `policy: instruct`, but {base.model} has no chat template, so it was never taught to "
                "chat: use an instruct model, or `policy: base` with a template in chat_template.jinja"
            )
        return ()
    if form.template is None or not _ends_its_turns(form.template, form.named):
        return ()
    return (
        f"the recipe says `policy: base`, but {base.model} looks like an instruct model: its chat template ends a turn "
        f"with its end-of-sequence token {form.named['eos_token']}; say `policy: instruct`, or use the base model",
    )


class Encoded(NamedTuple):
    """A chat as ids: `mask` says which get loss, `answer` which belong to a trained answer, masked words included."""

    ids: list[int]
    mask: list[bool]
    answer: list[bool]

    def cut(self, max_tokens: int) -> "Encoded":
        """Up to the last trained answer that fits whole; unchanged when all fits, empty when none does."""
        if len(self.ids) <= max_tokens:
            return self
        ends = [place for place in range(1, max_tokens + 1) if self.answer[place - 1] and not self.answer[place]]
        end = ends[-1] if ends else 0
        return Encoded(self.ids[:end], self.mask[:end], self.answer[:end])


class ChatTokenizer:
    """Renders chats with a model's own template and tokenizes them; safe to share between threads.

    Attributes:
        template: the chat template, as the model folder holds it.
        named: the texts of bos_token, eos_token, pad_token and unk_token, where the folder names them.
        escape: message text with every control token of this vocabulary broken up.

    Raises:
        ModelError: the folder has no tokenizer.json or no chat template, or one that cannot be read.
    """

    def __init__(self, base: Path) -> None:
        self._tokenizer = _load(base / "tokenizer.json")
        form = read_chat_format(base)
        if form.template is None:
            raise ModelError(
                f"{base} has no chat template: put one into chat_template.jinja, or use an instruct model as the base"
            )
        self.named, self.template = form.named, form.template
        added = self._tokenizer.get_added_tokens_decoder().values()
        self.escape = escape_of(AddedToken(token.content, token.special) for token in added)

    def encode(self, messages: Chat, trained: Sequence[bool], masked: Iterable[str] = ()) -> Encoded:
        """The ids of the whole chat and, for each, whether it gets loss; the words `masked` get none.

        The ids are those of the rendered text in one piece, as serving sees it. A token that reaches over the
        edge of a trained answer, or of a masked word, gets no loss.
        """
        pieces = render_masked(self.template, messages, trained, escape=self.escape, **self.named)
        text = "".join(text for text, _ in pieces)
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        starts, marks, ends = _spans(pieces)
        answer = []
        for start, end in encoding.offsets:
            piece = bisect_right(starts, start) - 1
            answer.append(marks[piece] and start < end <= ends[piece])
        words = find_masked(text, masked)
        return Encoded(list(encoding.ids), _without(answer, encoding.offsets, words), answer)

    def encode_turns(self, turns: Sequence[Turn], max_tokens: int | None = None) -> Encoded:
        """`encode` for the turns of an example, cut after the last trained answer that fits whole into `max_tokens`.

        All lists are empty when none fits.
        """
        masked = {word for turn in turns if turn.trained for word in turn.masked}
        whole = self.encode(as_messages(turns), [turn.trained for turn in turns], masked)
        return whole if max_tokens is None else whole.cut(max_tokens)

    def count_trained(self, turns: Sequence[Turn], max_tokens: int | None = None) -> int:
        """How many tokens get loss: answers marked `trained` that fit, with their end-of-turn markers."""
        return sum(self.encode_turns(turns, max_tokens).mask)

    def can_render(self, turns: Sequence[Turn]) -> bool:
        """Whether the template takes this chat and lets its trained answers be told from the rest."""
        try:
            trained = [turn.trained for turn in turns]
            render_masked(self.template, as_messages(turns), trained, escape=self.escape, **self.named)
        except ModelError:
            return False
        return True

    def check_template(self) -> None:
        """Raise ModelError where no chat can be rendered: then it is the template that is wrong, not one of many chats."""
        turns = (Turn(role="user", content="Hello!"), Turn(role="assistant", content="Hello.", trained=True))
        try:
            self.encode_turns(turns)
        except ModelError as error:
            raise ModelError(
                f"the base model's chat template cannot render even one question with its answer: {error}; put a working "
                "template into its chat_template.jinja, or use another base"
            ) from error

    def ids(self, messages: Chat, *, generate: bool = True) -> list[int]:
        """The ids of a prompt; `generate` appends the header that asks for the assistant's next turn."""
        return self.text_ids(self.prompt(messages, generate=generate))

    def prompt(self, messages: Chat, *, generate: bool = True) -> str:
        """The rendered text of `ids`."""
        return render(self.template, messages, escape=self.escape, generate=generate, **self.named)

    def count(self, text: str) -> int:
        """How many tokens a message's text takes."""
        return len(self.text_ids(self.escape(text)))

    def text_ids(self, text: str) -> list[int]:
        """The ids of a text that is already rendered; control tokens in it are recognised."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, ids: Sequence[int], *, keep_control_tokens: bool = False) -> str:
        """The text of ids."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=not keep_control_tokens))

    @property
    def end_id(self) -> int | None:
        """The id of eos_token, which ends an answer."""
        return self._id("eos_token")

    @property
    def pad_id(self) -> int:
        """The id to pad with: pad_token's, else eos_token's, else 0."""
        pad = self._id("pad_token")
        end = self._id("eos_token")
        return pad if pad is not None else end if end is not None else 0

    @property
    def size(self) -> int:
        """The number of ids, added tokens included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def _id(self, name: str) -> int | None:
        text = self.named.get(name)
        return None if text is None else self._tokenizer.token_to_id(text)


def as_messages(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Turns as the dicts that chat templates read (pipelines.chat.Chat)."""
    return [_message(turn) for turn in turns]


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    extras = {
        "reasoning_content": turn.reasoning,
        "tool_calls": [_call(call) for call in turn.tool_calls],
        "tool_call_id": turn.tool_call_id,
        "name": turn.name,
        "tools": [{"type": "function", "function": tool} for tool in json.loads(turn.tools)] if turn.tools else None,
    }
    return message | {name: value for name, value in extras.items() if value}


def _call(call: ToolCall) -> dict[str, Any]:
    """A call with its arguments as the object that they are; what is none stays the text that the model wrote."""
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        arguments = call.arguments
    return {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": arguments}}


def _spans(pieces: Sequence[tuple[str, bool]]) -> tuple[list[int], list[bool], list[int]]:
    starts, ends, position = [], [], 0
    for text, _ in pieces:
        starts.append(position)
        position += len(text)
        ends.append(position)
    return starts, [mark for _, mark in pieces], ends


def _without(marks: Sequence[bool], offsets: Sequence[tuple[int, int]], words: Sequence[tuple[int, int]]) -> list[bool]:
    """The marks without those of tokens that overlap one of these words; offsets and words in text order."""
    left = list(marks)
    for first, last in words:
        place = bisect_right(offsets, first, key=lambda offset: offset[1])
        while place < len(offsets) and offsets[place][0] < last:
            left[place] = False
            place += 1
    return left


def _load(path: Path) -> Tokenizer:
    if not path.is_file():
        raise ModelError(f"{path} is missing: a base model needs its fast tokenizer in that file")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust parser raises bare Exception
        raise ModelError(f"{path} is not a tokenizer that can be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error
    return dict(settings)


def _text(token: Any) -> str | None:
    """A special token's text; older files hold it as {"content": "..."}."""
    return token.get("content") if isinstance(token, dict) else token


def _template(file: Path, settings: Mapping[str, Any]) -> str | None:
    """The template in a file of its own, or the one inside tokenizer_config.json."""
    if file.is_file():
        return file.read_text(encoding="utf-8")
    held = settings.get("chat_template")
    if isinstance(held, list):
        held = next((entry["template"] for entry in held if entry.get("name") == "default"), None)
    return held if isinstance(held, str) else None


def _ends_its_turns(template: str, named: Mapping[str, str]) -> bool:
    end = named.get("eos_token")
    chat = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hello."}]
    return end is not None and render(template, chat, escape=escape_markers, generate=False, **named).rstrip().endswith(
        end
    )
