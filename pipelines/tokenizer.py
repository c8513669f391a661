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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateSyntaxError
from tokenizers import Tokenizer

from pipelines.answer_span import AnswerSpan, answer_span
from pipelines.chat import AddedToken, Chat, escape_markers, escape_of, find_masked, render
from pipelines.errors import ModelError
from pipelines.messages import as_messages, with_reasoning
from pipelines.recipe import Base, ChatRules
from pipelines.recipe.chat import Thinking
from pipelines.records import Record, ToolCall, Turn
from pipelines.rows import Encoded, Rows, first_start, rows_of
from pipelines.template import pinned, switched

_NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")
# What llama.cpp ends generation at by the text of a token, whatever else a model says.
_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>")
_MORE_ENDS = ("<end_of_turn>", "<turn|>", "<|tool_response>", "<|endoftext|>", "<|end_of_text|>", "<end_of_utterance>")
_BARE_ENDS = ("<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<eos>", "</s>", "[e~[")


# What a template is tried with.
_PLAIN = [Turn(role="user", content="Hello!"), Turn(role="assistant", content="Hello.", trained=True)]
_TOOLS = '[{"name": "weather", "description": "Tells it.", "parameters": {"type": "object", "properties": {}}}]'
_CALLED = ToolCall(id="call00001", name="weather", arguments='{"city": "Ulm"}')
_CALL = Turn(role="assistant", content="", tool_calls=(_CALLED,), trained=True)
_RESULT = Turn(role="tool", content="21", tool_call_id=_CALLED.id, name=_CALLED.name)


class ChatFormat(Record):
    """How a model folder writes a chat.

    Attributes:
        template: its chat template, None where it has none.
        named: the texts of bos_token, eos_token, pad_token and unk_token, where the folder names them.
    """

    template: str | None
    named: Mapping[str, str]

    def served(self, thinking: Thinking | None = None) -> str | None:
        """The template that training renders with and a GGUF carries. Raises ModelError where it has no such switch."""
        switched = self.switched(thinking)
        return None if switched is None else pinned(switched, self.named)

    def switched(self, thinking: Thinking | None) -> str | None:
        """The template with its thinking switch set. Raises ModelError where it has none, or is no template at all."""
        try:
            return None if self.template is None else switched(self.template, thinking)
        except (ValueError, TemplateSyntaxError) as error:
            raise ModelError(f"{error}; leave `chat.thinking` out of the recipe, or use a base that has it") from error


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
    if not _ends_its_turns(form):
        return ()
    return (
        f"the recipe says `policy: base`, but {base.model} looks like an instruct model: its chat template ends a turn "
        f"with its end-of-sequence token {form.named['eos_token']}; say `policy: instruct`, or use the base model",
    )


class ChatTokenizer:
    """Renders chats with a model's own template and tokenizes them; safe to share between threads.

    Attributes:
        template: the chat template with all that is fixed in it, word for word as the served GGUF carries it.
        named: the texts of bos_token, eos_token, pad_token and unk_token, where the folder names them.
        escape: message text with every control token of this vocabulary broken up.
        stops: the texts of the tokens that end generation, for llama.cpp as for us.

    Raises:
        ModelError: the folder has no tokenizer.json or no chat template, or one that cannot be read, or that has no switch
            for `rules.thinking`.
    """

    def __init__(self, base: Path, rules: ChatRules = ChatRules()) -> None:
        self._tokenizer = _load(base / "tokenizer.json")
        form = read_chat_format(base)
        template = form.served(rules.thinking)
        if template is None:
            raise ModelError(
                f"{base} has no chat template: put one into chat_template.jinja, or use an instruct model as the base"
            )
        self.named, self.template, self._rules = form.named, template, rules
        added = self._tokenizer.get_added_tokens_decoder().values()
        self.escape = escape_of(AddedToken(token.content, token.special) for token in added)
        self.stops = _stops(base, form, self._tokenizer)

    def rows(self, turns: Sequence[Turn], max_tokens: int | None = None) -> Rows:
        """What training reads of a chat: see rows_of. A template that writes earlier turns otherwise makes more rows.

        Raises:
            ModelError: the template cannot render it, or what it writes is not what the model would have to write.
        """
        return rows_of(turns, self.answer, max_tokens)

    def answer(self, turns: Sequence[Turn]) -> Encoded:
        """The ids of a chat up to the end of its last turn, an answer; those before it are the prompt that serving reads.

        A token that reaches over the edge of the answer, or of a word that stands for another, gets no loss.
        """
        span = self.span(turns)
        prompt = self.text_ids(span.prompt)
        behind = span.skipped + span.answer
        ids, offsets = self._behind(span.prompt, prompt, behind)
        spoken = [len(span.skipped) <= start < end for start, end in offsets]
        words = find_masked(behind, turns[-1].masked)
        before = [False] * len(prompt)
        return Encoded(prompt + ids, before + _without(spoken, offsets, words), before + spoken)

    def span(self, turns: Sequence[Turn]) -> AnswerSpan:
        """The text of `answer`. Raises ModelError as `answer_span` does."""
        chat = as_messages(with_reasoning(turns, self._rules.reasoning))
        return answer_span(self.template, chat, escape=self.escape, stops=self.stops)

    def start(self, turns: Sequence[Turn], max_tokens: int) -> int | None:
        """The turn from which on a chat fits whose last turn is an answer; None where that is too long by itself."""
        return first_start(turns, self.answer, max_tokens)

    def count_trained(self, turns: Sequence[Turn], max_tokens: int | None = None) -> int:
        """How many tokens get loss: answers marked `trained` that fit, with their end-of-turn markers."""
        return sum(sum(row.mask) for row in self.rows(turns, max_tokens).rows)

    def can_render(self, turns: Sequence[Turn]) -> bool:
        """Whether the template takes this chat and lets each of its trained answers be told from the rest."""
        try:
            for place in (place for place, turn in enumerate(turns) if turn.trained):
                self.span(turns[: place + 1])
        except ModelError:
            return False
        return True

    def check_template(self) -> None:
        """Raise ModelError where no chat can be rendered: then it is the template that is wrong, not one of many chats."""
        thinking = [_PLAIN[0], _PLAIN[1].model_copy(update={"reasoning": "A greeting."})]
        try:
            self.answer(_PLAIN)
        except ModelError as error:
            if not self.can_render(thinking):
                raise ModelError(
                    f"the base model's chat template cannot render even one question with its answer: {error}; put a "
                    "working template into its chat_template.jinja, or use another base"
                ) from error

    def limits(self) -> tuple[str, ...]:
        """What kinds of chats the template cannot show to the model, in a sentence each: they will be left out."""
        kinds = {
            "a system prompt": [Turn(role="system", content="Be kind."), *_PLAIN],
            "several questions": [*_PLAIN, *_PLAIN],
            "calls of tools": [_PLAIN[0].model_copy(update={"tools": _TOOLS}), _CALL, _RESULT, _PLAIN[1]],
        }
        unseen = " and ".join(kind for kind, turns in kinds.items() if not self.can_render(turns))
        return (f"the base model's chat template takes no chats with {unseen}: they are left out",) if unseen else ()

    def ids(self, messages: Chat, *, generate: bool = True) -> list[int]:
        """The ids of a prompt; `generate` appends the header that asks for the assistant's next turn."""
        return self.text_ids(self.prompt(messages, generate=generate))

    def prompt(self, messages: Chat, *, generate: bool = True) -> str:
        """The rendered text of `ids`."""
        return render(self.template, messages, escape=self.escape, generate=generate)

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

    def _behind(self, before: str, prompt: list[int], text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of a text behind a prompt, with their places in it, where the prompt keeps the ids that serving gives it."""
        whole = self._tokenizer.encode(before + text, add_special_tokens=False)
        if whole.ids[: len(prompt)] == prompt:
            places = whole.offsets[len(prompt) :]
            return list(whole.ids[len(prompt) :]), [(start - len(before), end - len(before)) for start, end in places]
        alone = self._tokenizer.encode(text, add_special_tokens=False)
        return list(alone.ids), list(alone.offsets)

    def _id(self, name: str) -> int | None:
        text = self.named.get(name)
        return None if text is None else self._tokenizer.token_to_id(text)


def _without(marks: Sequence[bool], offsets: Sequence[tuple[int, int]], words: Sequence[tuple[int, int]]) -> list[bool]:
    """The marks without those of tokens that overlap one of these words; offsets and words in text order."""
    left = list(marks)
    for first, last in words:
        place = bisect_right(offsets, first, key=lambda offset: offset[1])
        while place < len(offsets) and offsets[place][0] < last:
            left[place] = False
            place += 1
    return left


def _stops(base: Path, form: ChatFormat, tokenizer: Tokenizer) -> tuple[str, ...]:
    """The texts of the tokens at which generation ends: eos_token, those of the configurations, and llama.cpp's own."""
    named = [form.named["eos_token"]] if "eos_token" in form.named else []
    for file in ("generation_config.json", "config.json"):
        ids = _settings(base / file).get("eos_token_id")
        texts = [tokenizer.id_to_token(id) for id in (ids if isinstance(ids, list) else [ids]) if isinstance(id, int)]
        named += [text for text in texts if text]
    known = {token for token in (*_ENDS, *_MORE_ENDS, *_BARE_ENDS) if tokenizer.token_to_id(token) is not None}
    if {"<|return|>", "<|call|>"} <= known:
        known.discard("<|end|>")  # gpt-oss writes it between the parts of one answer
    return tuple(dict.fromkeys([*named, *sorted(known)]))


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


def _ends_its_turns(form: ChatFormat) -> bool:
    end, template = form.named.get("eos_token"), form.served()
    chat = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hello."}]
    return None not in (end, template) and render(str(template), chat, escape=escape_markers).rstrip().endswith(
        str(end)
    )
