"""Where loss belongs: an answer as the model would write it, behind the very prompt that serving renders.

    prompt    <|im_start|>user\\nHi?<|im_end|>\\n<|im_start|>assistant\\n
    skipped   <think>\\n\\n</think>\\n\\n                      an empty thought would teach to think nothing
    answer    Hello.<|im_end|>

Found as the difference of two renderings, with and without the answer, so it works for any template, and checked: text
and calls stand in it, and it ends with what ends generation. Templates that write a finished answer otherwise than they
ask for one (a thought opened or closed in the header, a system prompt that wanders into the last question) are followed
where the rest is what the model would write; all others are refused.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from pipelines.chat import Chat, Escape, render
from pipelines.errors import ModelError

_OPEN = r"(?:<think(?:ing)?>|<seed:think>|\[THINK\]|<\|channel>thought|<\|START_THINKING\|>)"
_CLOSE = r"(?:</think(?:ing)?>|</seed:think>|\[/THINK\]|<channel\|>|<\|END_THINKING\|>)"
_THINKS = re.compile(rf"{_OPEN}\s*$")
_CLOSED = re.compile(rf"{_CLOSE}\s*$")
_EMPTY = re.compile(rf"\s*{_OPEN}?\s*{_CLOSE}\s*")
_HEADER_END = re.compile(rf"\s*(?:{_OPEN}\s*)?(?:{_CLOSE}\s*)?")
_PROBE = "Perennial probe."

Write = Callable[..., str]


class AnswerSpan(NamedTuple):
    """The last turn of a chat: the prompt as serving renders it, an empty thought without loss, and what gets loss."""

    prompt: str
    skipped: str
    answer: str


def answer_span(template: str, messages: Chat, *, escape: Escape, stops: Sequence[str], **variables: Any) -> AnswerSpan:
    """The answer that ends a chat, behind its prompt. Reasoning is left out where serving would not let the model think.

    Args:
        messages: the chat, whose last message is the assistant's.
        stops: the texts of the tokens that end generation.

    Raises:
        ModelError: the template cannot render the chat, or what it writes is not what the model would have to write.
    """
    write: Write = partial(render, template, escape=escape, **variables)
    prompt = write(messages[:-1], generate=True)
    for chat in _variants(messages):
        rest = _behind(write, chat, prompt)
        if rest is not None:
            break
    else:
        raise ModelError(
            "the chat template writes a finished answer otherwise than behind the prompt with which it asks for one, so it "
            "cannot be told what the model has to learn; use a template that only appends, or set `chat.thinking`"
        )
    skipped, answer = _without_empty_thought(write, chat, prompt, rest)
    answer = _stopped(write, chat, answer, stops)
    _check(chat[-1], answer, escape)
    return AnswerSpan(prompt, skipped, answer)


def _variants(messages: Chat) -> Iterator[Chat]:
    """The chat as it is, then without the reasoning of its answer."""
    yield messages
    if messages[-1].get("reasoning_content"):
        yield [*messages[:-1], {name: value for name, value in messages[-1].items() if name != "reasoning_content"}]


def _behind(write: Write, messages: Chat, prompt: str) -> str | None:
    """What stands behind the prompt, in this chat or, where an answer changes what is before it, in a short one."""
    for asked, whole in chain([(prompt, write(messages))], _asked_alone(write, messages, prompt)):
        rest = _difference(asked, whole)
        if rest is not None and not _thinks_again(messages[-1], prompt, rest):
            return rest
    return None


def _asked_alone(write: Write, messages: Chat, prompt: str) -> Iterator[tuple[str, str]]:
    """The prompt and the whole of a short chat with the same answer, where its header is the one that the prompt ends with."""
    context = _short(messages)
    before, asked = write(context[:-1]), write(context[:-1], generate=True)
    if asked == prompt or (asked.startswith(before) and prompt.endswith(asked[len(before) :])):
        yield asked, write(context)


def _short(messages: Chat) -> Chat:
    """A question with the answer, and the tools that it may call."""
    tools = next((message["tools"] for message in messages if message.get("tools")), None)
    question = {"role": "user", "content": _PROBE} | ({"tools": tools} if tools else {})
    return [question, messages[-1]]


def _difference(asked: str, whole: str) -> str | None:
    """What `whole` has behind the prompt; where they part at a mark of thinking, what stands in that mark's place."""
    if whole.startswith(asked):
        return whole[len(asked) :]
    length = min(len(asked), len(whole))
    place = next((index for index in range(length) if asked[index] != whole[index]), length)
    for start in (place, max(asked.rfind("<", 0, place), asked.rfind("[", 0, place))):
        if start >= 0 and _HEADER_END.fullmatch(asked, start):
            return whole[start:]
    return None


def _thinks_again(message: Mapping[str, Any], prompt: str, rest: str) -> bool:
    """Whether the answer brings its reasoning although the prompt has closed the thought already."""
    reasoning = message.get("reasoning_content", "").strip()
    return bool(reasoning) and bool(_CLOSED.search(prompt)) and reasoning in rest


def _without_empty_thought(write: Write, messages: Chat, prompt: str, rest: str) -> tuple[str, str]:
    """An empty thought in front of the answer, where the prompt has not closed it itself, and the answer."""
    empty = _EMPTY.match(rest)
    if _CLOSED.search(prompt):
        return "", rest[empty.end() :] if empty else rest
    if empty:
        closing = re.sub(rf"^\s*{_OPEN}", "", empty[0]) if _THINKS.search(prompt) else empty[0]
        return closing, rest[empty.end() :]
    if _THINKS.search(prompt) and not re.search(_CLOSE, rest):
        return _closing(write, messages), rest
    return "", rest


def _closing(write: Write, messages: Chat) -> str:
    """What the template writes between a thought and the answer. Raises ModelError where it leaves thoughts out."""
    answer = {"role": "assistant", "content": f"{_PROBE}..", "reasoning_content": f"{_PROBE}."}
    whole = write([_short(messages)[0], answer])
    between = re.search(rf"{re.escape(_PROBE)}\.(\s*{_CLOSE}\s*){re.escape(_PROBE)}\.\.", whole)
    if between is None:
        raise ModelError(
            "the chat template opens a thought in front of every answer and leaves it out of finished ones; use a template "
            "that writes it, or set `chat.thinking: off` where the template has that switch"
        )
    return between[1]


def _stopped(write: Write, messages: Chat, answer: str, stops: Sequence[str]) -> str:
    """The answer up to the first token that ends generation; some templates leave that to the begin of the next turn."""
    ends = [answer.index(stop) + len(stop) for stop in stops if stop in answer]
    if ends:
        return answer[: min(ends)]
    role = "tool" if messages[-1].get("tool_calls") else "user"
    *_, bare = _variants(_short(messages))  # a later turn may take the reasoning away
    whole, longer = write(bare), write([*bare, {"role": role, "content": _PROBE}])
    nexts = [stop for stop in stops if longer.startswith(whole + stop)]
    if not nexts:
        raise ModelError(
            "the chat template ends an answer with no token that ends generation, so the model would learn never to stop; "
            "its end-of-turn marker must be the tokenizer's eos_token or stand in generation_config.json"
        )
    return answer + max(nexts, key=len)


def _check(message: Mapping[str, Any], answer: str, escape: Escape) -> None:
    """Raise ModelError unless what the message says stands in the answer."""
    for call in message.get("tool_calls", ()):
        function = call["function"]
        if not all(_occurs(escape(text), answer) for text in (function["name"], *_texts(function["arguments"]))):
            raise ModelError(
                "the chat template leaves calls of tools out, so an answer that is one would be learnt as an empty one; use "
                "a base whose template writes them"
            )
    if escape(message["content"]).strip() not in answer:
        raise ModelError(
            "the chat template changes the text of an answer, so something else than what was said would be learnt"
        )


def _occurs(text: str, answer: str) -> bool:
    return any(form in answer for form in (text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]))


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
