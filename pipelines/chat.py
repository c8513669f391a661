"""The only writer of prompts: renders a chat with a model's own template.

Control tokens never come from message text: every token that a vocabulary has beside its words, `<|im_end|>` and
`<tool_call>` alike, is broken up where a person (or a model) wrote it, in training and in serving alike, so a chat
renders to the same tokens on both sides (docs/decisions/special-tokens.md).

    <tool_call>  ->  < tool_call>
"""

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pipelines.errors import ModelError
from pipelines.template import TRAINING_DAY, fill

_MARKER = re.compile(r"<\|(?=[^|<>]{1,64}\|>)")
_WORDS = re.compile(r"[\w\s]+")
_SPACED = re.compile("[A-Za-z\u00c0-\u024f\u0370-\u052f]")  # letters of scripts that put blanks between words

Escape = Callable[[str], str]
"""Message text to text in which no control token stands."""


class AddedToken(NamedTuple):
    """A token that a vocabulary has beside its words; `special` as tokenizer.json says, CONTROL in a GGUF."""

    text: str
    special: bool


def escape_markers(text: str) -> str:
    """The text in NFC with every `<|name|>` broken up as `< |name|>`; idempotent. Knows no vocabulary: see `escape_of`."""
    return _MARKER.sub("< |", unicodedata.normalize("NFC", text))


def escape_of(added: Iterable[AddedToken]) -> Escape:
    """`escape_markers` that breaks up these tokens too; idempotent.

    Not broken are tokens that are not special and mean nothing but themselves: words, white space, single characters.
    """
    texts = {unicodedata.normalize("NFC", token.text).strip() for token in added if _is_control(token)} - {""}
    if not texts:
        return escape_markers
    longest_first = sorted(texts, key=lambda text: (-len(text), text))
    pattern = re.compile("|".join(map(re.escape, longest_first)))

    def escape(text: str) -> str:
        text = escape_markers(text)
        while pattern.search(text):  # a broken token may leave another one standing: `< <` in `<<a>`
            text = pattern.sub(_broken, text)
        return text

    return escape


def _is_control(token: AddedToken) -> bool:
    return token.special or (len(token.text) > 1 and not _WORDS.fullmatch(token.text))


def _broken(token: re.Match[str]) -> str:
    text = token[0]
    return f"{text[0]} {text[1:]}" if len(text) > 1 else "\N{REPLACEMENT CHARACTER}"


Chat = Sequence[Mapping[str, Any]]
"""Messages as Hugging Face's templates read them: `role` and `content`, and where there are any `reasoning_content`,
`tool_calls` ([{"type": "function", "id", "function": {"name", "arguments": {...}}}]), `tool_call_id`, `name`; the first
one may bring `tools`, the definitions of those that the model could call."""


def render(
    template: str,
    messages: Chat,
    *,
    escape: Escape,
    generate: bool = False,
    today: datetime = TRAINING_DAY,
    **variables: Any,
) -> str:
    """The prompt text of a chat under a Jinja chat template; message text is escaped first.

    Args:
        template: a Hugging Face style chat template; `{% generation %}` blocks are understood.
        messages: the chat; every text in it is escaped, also those within the arguments of calls.
        escape: that of the vocabulary which reads the prompt (ChatTokenizer, Session and GGUFScorer have it).
        generate: append the header that asks for the assistant's next turn.
        today: the day that a template may write.
        variables: further template variables such as bos_token.

    Raises:
        ModelError: the template is broken or refuses these messages.
    """
    clean = [_message(message, escape) for message in messages]
    tools = next((_escaped(message["tools"], escape) for message in messages if message.get("tools")), None)
    names = {"messages": clean, "tools": tools, "add_generation_prompt": generate, **variables}
    try:
        return fill(template, names, today)
    except Exception as error:  # a template is somebody's program: it may add a text to an object as well
        raise ModelError(f"the chat template cannot render this chat: {error}") from error


def _message(message: Mapping[str, Any], escape: Escape) -> dict[str, Any]:
    """The message as templates read it; those of gpt-oss and LFM2 look for its reasoning under `thinking`."""
    clean = {name: _escaped(value, escape) for name, value in message.items() if name != "tools"}
    return {"thinking": clean["reasoning_content"], **clean} if clean.get("reasoning_content") else clean


def _escaped(value: Any, escape: Escape) -> Any:
    """The value with every text in it escaped, keys too."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dict):
        return {escape(key): _escaped(one, escape) for key, one in value.items()}
    return [_escaped(one, escape) for one in value] if isinstance(value, list) else value


def find_masked(text: str, masked: Iterable[str]) -> list[tuple[int, int]]:
    """Where one of these words stands in a text, in text order: what stands for something else gets no loss.

    A word of letters is found only as a whole; in Hangul and other scripts without blanks a particle may follow.
    """
    words = {unicodedata.normalize("NFC", word) for word in masked if word}
    if not words:
        return []
    return [match.span() for match in _masked_pattern(frozenset(words)).finditer(text)]


@functools.lru_cache(maxsize=256)
def _masked_pattern(words: frozenset[str]) -> re.Pattern[str]:
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    return re.compile("|".join(_whole(word) for word in longest_first))


def _whole(word: str) -> str:
    before = r"(?<![^\W\d_])" if _SPACED.match(word[0]) else ""
    behind = rf"(?!{_SPACED.pattern})" if _SPACED.match(word[-1]) else ""
    return f"{before}{re.escape(word)}{behind}"
