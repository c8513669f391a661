"""The only writer of prompts: renders a chat with a model's own template and says which tokens get loss.

Control tokens never come from message text: every token that a vocabulary has beside its words, `<|im_end|>` and
`<tool_call>` alike, is broken up where a person (or a model) wrote it, in training and in serving alike, so a chat
renders to the same tokens on both sides (docs/decisions/special-tokens.md).

    <tool_call>  ->  < tool_call>
"""

import functools
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
import jinja2.ext
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipelines.errors import ModelError

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


def render(template: str, messages: Chat, *, escape: Escape, generate: bool = False, **variables: Any) -> str:
    """The prompt text of a chat under a Jinja chat template; message text is escaped first.

    Args:
        template: a Hugging Face style chat template; `{% generation %}` blocks are understood.
        messages: the chat; every text in it is escaped, also those within the arguments of calls.
        escape: that of the vocabulary which reads the prompt (ChatTokenizer, Session and GGUFScorer have it).
        generate: append the header that asks for the assistant's next turn.
        variables: further template variables such as bos_token.

    Raises:
        ModelError: the template is broken or refuses these messages.
    """
    clean = [{name: _escaped(value, escape) for name, value in m.items() if name != "tools"} for m in messages]
    tools = next((_escaped(message["tools"], escape) for message in messages if message.get("tools")), None)
    try:
        return _compiled(template).render(messages=clean, tools=tools, add_generation_prompt=generate, **variables)
    except Exception as error:  # a template is somebody's program: it may add a text to an object as well
        raise ModelError(f"the chat template cannot render this chat: {error}") from error


def _escaped(value: Any, escape: Escape) -> Any:
    """The value with every text in it escaped, keys too."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dict):
        return {escape(key): _escaped(one, escape) for key, one in value.items()}
    return [_escaped(one, escape) for one in value] if isinstance(value, list) else value


def render_masked(
    template: str, messages: Chat, trained: Sequence[bool], *, escape: Escape, **variables: Any
) -> list[tuple[str, bool]]:
    """The prompt in pieces, each marked whether its tokens get loss; joined they equal what `render` gives.

    A trained assistant turn's piece is its content (with its reasoning and its calls, where the template writes them) and the end-of-turn marker that the template puts behind it, up to
    but without the white space after it. Found by rendering growing prefixes, so it works for any template
    that only appends.

    Raises:
        ModelError: the template rewrites earlier turns, so no mask can be trusted; or a trained turn calls a tool, and
            the template does not write that.
    """
    if len(trained) != len(messages):
        raise ValueError(f"{len(trained)} marks for {len(messages)} messages")
    pieces: list[tuple[str, bool]] = []
    done = ""
    whole = render(template, messages, escape=escape, **variables)
    for index, message in enumerate(messages):
        if message["role"] != "assistant" or not trained[index]:
            continue
        head = render(template, messages[:index], escape=escape, generate=True, **variables)
        tail = render(template, messages[: index + 1], escape=escape, **variables)
        answer = tail[len(head) :].rstrip("\n")
        if not (
            whole.startswith(head)
            and tail.startswith(head)
            and whole.startswith(head + answer)
            and head.startswith(done)
        ):
            raise ModelError(
                "the chat template changes earlier turns when a later one is added, so the loss cannot be limited to "
                f"the assistant turn {index + 1}; use a template that only appends"
            )
        if not all(call["function"]["name"] in answer for call in message.get("tool_calls", ())):
            raise ModelError(
                "the chat template leaves calls of tools out, so an answer that is one would be learnt as an empty one; use "
                "a base whose template writes them"
            )
        pieces += [(head[len(done) :], False), (answer, True)]
        done = head + answer
    pieces.append((whole[len(done) :], False))
    return [(text, mark) for text, mark in pieces if text]


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


def without_generation_markers(template: str) -> str:
    """The template for readers that do not know `{% generation %}`, such as llama.cpp; renders the same text."""
    opened = re.sub(r"\{%(-?)\s*generation\s*(-?)%\}", r"{%\1 if true \2%}", template)
    return re.sub(r"\{%(-?)\s*endgeneration\s*(-?)%\}", r"{%\1 endif \2%}", opened)


class _Generation(Extension):
    """Accepts `{% generation %}...{% endgeneration %}` and renders its body."""

    tags = {"generation"}

    def parse(self, parser: Any) -> Any:
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=lineno)


@functools.lru_cache(maxsize=16)
def _compiled(template: str) -> jinja2.Template:
    """Compiling takes 3 ms, rendering 0.03."""
    return _environment().from_string(template)


def _environment() -> ImmutableSandboxedEnvironment:
    extensions = [_Generation, jinja2.ext.loopcontrols]
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)

    def refuse(message: str) -> str:
        raise jinja2.TemplateError(message)

    environment.globals["raise_exception"] = refuse
    environment.filters["tojson"] = _as_json
    return environment


def _as_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    """JSON as Hugging Face and llama.cpp write it in templates; Jinja's own filter writes it for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)
